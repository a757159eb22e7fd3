// Windows of a real Chromium, each a visitor of their own, and what a visitor does in them.

import assert from "node:assert/strict";
import fs from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { after, afterEach, before } from "node:test";
import { chromium } from "playwright-core";
import { deferred } from "../../js/lib/waiting.mjs";

const results = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../results/browser");

const LIMIT = 20_000;

// A test may run as root in a container, and no browser is to look for anything on the network.
const ARGS = [
  "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-features=Translate,OptimizationHints,MediaRouter",
];

export class Window {
  /** What the page complained of: script errors, violations of its security policy. */
  complaints = [];

  constructor(context, page, number) {
    this.number = number;
    this.context = context;
    this.page = page;
    page.setDefaultTimeout(LIMIT);
    page.on("pageerror", (error) => this.complaints.push(`script: ${error.message}`));
    page.on("console", (message) => {
      // A server that is stopped on purpose makes requests fail: that is no complaint of the page's.
      if (message.type() === "error" && !/^Failed to load resource|WebSocket connection to/.test(message.text())) this.complaints.push(message.text());
    });
  }

  $(selector) {
    return this.page.locator(selector);
  }

  /** Waits until the connection's state, as the page shows it, is this one. */
  async state(name) {
    await this.$(`#line[data-state="${name}"]`).waitFor();
  }

  async transport(name) {
    await this.$(`#line[data-state="online"][data-transport="${name}"]`).waitFor();
  }

  /**
   * Enters the chat. The name gets a number that is another one in each test: a name stays taken for a
   * while when its window was closed without a word.
   */
  async join(name) {
    this.name = `${name} ${this.number}`;
    await this.$("#name").fill(this.name);
    await this.$("#name").press("Enter");
    await this.state("online");
    await this.$("#text").waitFor();
    await this.settled();
    return this;
  }

  /** Waits until what there is to be read from the history has been read. */
  async settled() {
    await this.$('#messages[aria-busy="false"]').waitFor();
  }

  /** Keeps the window from coming back to the server: a request waits until the returned function is called. */
  async hold() {
    const { promise, resolve } = deferred();
    await this.page.route(/\/socket\.io\/\?/, async (route) => {
      await promise;
      await route.continue().catch(() => {}); // the request was given up, or the window closed
    });
    return resolve;
  }

  async say(text) {
    await this.$("#text").fill(text);
    await this.$("#text").press("Enter");
  }

  /** The messages with exactly this text. */
  message(text) {
    return this.$(".msg").filter({ has: this.page.getByText(text, { exact: true }) });
  }

  async reads(text) {
    await this.message(text).first().waitFor();
  }

  async delivered(text) {
    await this.$('.msg[data-state="sent"]').filter({ hasText: text }).first().waitFor();
  }

  async sees(text) {
    await this.page.getByText(text).first().waitFor();
  }

  /** The entry of another window's visitor in the list of who is here. */
  person(other, { here } = {}) {
    return this.$(`#people li[data-name="${other.name}"]${here === undefined ? "" : `[data-here="${here}"]`}`);
  }

  /** Waits until the function, run in the page, returns something truthy. */
  async until(fn, arg) {
    await this.page.waitForFunction(fn, arg);
  }

  /** Waits until a text is within what can be seen of the list of messages. */
  async inSight(text) {
    await this.until((t) => {
      const { top, bottom } = document.getElementById("messages").getBoundingClientRect();
      return [...document.querySelectorAll("#messages > li")].some((li) => {
        const box = li.getBoundingClientRect();
        return li.textContent.includes(t) && box.top >= top && box.bottom <= bottom;
      });
    }, text);
  }

  /** Waits until the page was painted so often. */
  async frames(count) {
    await this.page.evaluate(async (n) => {
      for (; n > 0; n -= 1) await new Promise((done) => requestAnimationFrame(done));
    }, count);
  }

  /** The texts of all messages since this window joined, from the top. */
  async texts() {
    return this.$((await this.$(".event-joined").count()) > 0 ? ".event-joined ~ .msg p.msg-text" : ".msg p.msg-text").allTextContents();
  }

  /** The texts of all messages, those from before it joined too. */
  allTexts() {
    return this.$(".msg p.msg-text").allTextContents();
  }

  async noSidewaysScroll() {
    const { wide, own } = await this.page.evaluate(() => ({ wide: document.documentElement.scrollWidth, own: document.documentElement.clientWidth }));
    assert.ok(wide <= own, `the page is ${wide} px wide in a window of ${own}`);
  }

  async shot(name) {
    await fs.mkdir(results, { recursive: true });
    await this.page.screenshot({ path: path.join(results, `${name}.png`), animations: "disabled" });
  }
}

/**
 * One browser for a test file. `open(url, options)` makes a window; after each test its windows are
 * closed, and what a page complained of fails the test.
 */
export function useBrowser() {
  let browser;
  let windows = [];
  let number = 1;

  before(async () => {
    browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ARGS });
  });
  afterEach(async () => {
    const complaints = windows.flatMap((w) => w.complaints);
    await Promise.all(windows.map((w) => w.context.close()));
    windows = [];
    number += 1;
    assert.deepEqual(complaints, []);
  });
  after(() => browser?.close());

  return {
    async open(url, { prepare, ...options } = {}) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
      const page = await context.newPage();
      const window = new Window(context, page, number);
      windows.push(window);
      await prepare?.(page, context);
      await page.goto(url);
      return window;
    },
  };
}

/** A picture of the given size, as a file that can be chosen: noise, so that it doesn't compress. */
export async function picture(window, { name, width, height, type = "image/png" }) {
  const bytes = await window.page.evaluate(
    async ([w, h, mime]) => {
      const canvas = document.createElement("canvas");
      canvas.width = w;
      canvas.height = h;
      const context = canvas.getContext("2d");
      const image = context.createImageData(w, h);
      for (let at = 0; at < image.data.length; at += 65536) crypto.getRandomValues(image.data.subarray(at, at + 65536));
      for (let at = 3; at < image.data.length; at += 4) image.data[at] = 255;
      context.putImageData(image, 0, 0);
      const blob = await new Promise((done) => canvas.toBlob(done, mime));
      const url = await new Promise((done) => {
        const reader = new FileReader();
        reader.onload = () => done(reader.result);
        reader.readAsDataURL(blob);
      });
      return url.slice(url.indexOf(",") + 1);
    },
    [width, height, type],
  );
  return { name, mimeType: type, buffer: Buffer.from(bytes, "base64") };
}
