// The page itself: any width, either theme, the keyboard alone, and without the client script.

import assert from "node:assert/strict";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { App, clientDir } from "./lib/app.mjs";
import { picture, useBrowser } from "./lib/window.mjs";

const background = (w) => w.page.evaluate(() => getComputedStyle(document.body).backgroundColor);

/** The id of what has the focus, or its text; null when nothing has. */
const focused = (w) =>
  w.page.evaluate(() => {
    const el = document.activeElement;
    return el === null || el === document.body ? null : el.id || el.textContent.trim();
  });

describe("page", () => {
  const app = new App();
  const browser = useBrowser();
  before(() => app.start());
  after(() => app.stop());

  test("fits a phone: no sideways scroll, one pane at a time, everything in reach", async () => {
    const ada = await browser.open(app.url, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 });
    const grace = await (await browser.open(app.url)).join("Grace of a Long Name");
    await ada.noSidewaysScroll();
    await ada.shot("phone-join");
    await ada.join("Ada");
    await ada.say("x".repeat(300));
    await grace.say("A message that is long enough to need more than one line on a phone.");
    await ada.sees("A message that is long enough");
    await grace.$("#image").setInputFiles(await picture(grace, { name: "wide.png", width: 400, height: 120 }));
    await ada.$("img[alt*=wide]").waitFor();
    await ada.noSidewaysScroll();
    await ada.shot("phone-chat");
    for (const id of ["cut", "offline", "transport", "text", "leave"]) {
      const box = await ada.$(`#${id}`).boundingBox();
      assert.ok(box.x >= 0 && box.x + box.width <= 360 && box.y >= 0 && box.y + box.height <= 740, `#${id} is out of sight`);
      assert.ok(box.height >= 36, `#${id} is ${box.height} px high: hard to hit`);
    }
    await ada.page.getByRole("button", { name: "Wire" }).click();
    await ada.$("#rows").waitFor();
    assert.equal(await ada.$("#messages").isVisible(), false);
    await ada.noSidewaysScroll();
    await ada.shot("phone-wire");
    await grace.say("unseen");
    await ada.until(() => document.getElementById("badge").textContent === "1");
    await ada.page.getByRole("button", { name: "Chat" }).click();
    await ada.reads("unseen");
    assert.equal(await ada.$("#badge").isVisible(), false);
  });

  test("a low window scrolls as a whole, so that nothing is out of reach", async () => {
    const ada = await (await browser.open(app.url, { viewport: { width: 320, height: 256 } })).join("Ada");
    await ada.noSidewaysScroll();
    await ada.$("#text").scrollIntoViewIfNeeded();
    await ada.say("from a low window");
    await ada.delivered("from a low window");
  });

  test("follows the system's theme until one is chosen, and keeps the choice", async () => {
    const dark = await browser.open(app.url, { colorScheme: "dark" });
    const light = await browser.open(app.url, { colorScheme: "light" });
    const [night, day] = [await background(dark), await background(light)];
    assert.notEqual(night, day);
    await dark.$("#theme").click();
    assert.equal(await dark.$("#theme").textContent(), "Theme: light");
    assert.equal(await background(dark), day);
    await dark.page.reload();
    assert.equal(await background(dark), day);
    await dark.$("#theme").click();
    assert.equal(await background(dark), night);
    await dark.$("#theme").click();
    assert.equal(await dark.$("#theme").textContent(), "Theme: auto");
    assert.equal(await background(dark), night);
    await light.join("Ada");
    await light.shot("light");
    await dark.join("Grace");
    await dark.shot("dark");
  });

  test("works with the keyboard alone, and shows where one is", async () => {
    const grace = await (await browser.open(app.url)).join("Grace");
    const ada = await browser.open(app.url);
    const key = (name) => ada.page.keyboard.press(name);
    await ada.until(() => document.activeElement.id === "name");
    await ada.page.keyboard.type("Ada");
    await key("Enter");
    await ada.state("online");
    assert.equal(await focused(ada), "text");
    await ada.page.keyboard.type("typed");
    await key("Enter");
    await grace.reads("typed");

    // Once around, from the top of the page to where Tab leaves it.
    const walked = [];
    await ada.$(".skip").focus();
    for (let at = await focused(ada); at !== null && !walked.includes(at); at = await focused(ada)) {
      walked.push(at);
      const ring = await ada.page.evaluate(() => {
        const el = document.activeElement;
        const shown = el.classList.contains("sr-only") ? el.previousElementSibling : el;
        return getComputedStyle(shown).outlineStyle !== "none" && parseFloat(getComputedStyle(shown).outlineWidth) >= 2;
      });
      assert.ok(ring, `${at} has the focus and does not show it`);
      await key("Tab");
    }
    for (const id of ["theme", "cut", "offline", "transport", "leave", "messages", "image", "text", "Send", "show-beats", "pause", "clear", "rows"]) {
      assert.ok(walked.includes(id), `Tab does not reach ${id}: ${walked.join(", ")}`);
    }
    const order = ["cut", "offline", "transport", "messages", "text", "Send", "rows"].map((id) => walked.indexOf(id));
    assert.deepEqual(order, [...order].sort((a, b) => a - b));

    await ada.$("#offline").focus();
    await key("Enter");
    await ada.state("offline");
    assert.equal(await focused(ada), "offline", "the button keeps the focus, so that Enter comes back");
    await key("Enter");
    await ada.state("online");
  });

  test("tells those who do not see it: names, live regions, states", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    assert.equal(await ada.$("#messages").getAttribute("role"), "log");
    assert.equal(await ada.$("#line-state").getAttribute("role"), "status");
    assert.equal(await ada.page.locator("html").getAttribute("lang"), "en");
    const nameless = await ada.page.evaluate(() =>
      [...document.querySelectorAll("button, input, select, textarea, a")]
        .filter((el) => !(el.labels?.length || el.textContent.trim() || el.getAttribute("aria-label")))
        .map((el) => el.outerHTML),
    );
    assert.deepEqual(nameless, []);
    const ids = await ada.page.evaluate(() => [...document.querySelectorAll("[id]")].map((el) => el.id));
    assert.equal(new Set(ids).size, ids.length, "an id is used twice");
  });

  test("moves nothing for those who asked for less motion", async () => {
    const ada = await (await browser.open(app.url, { reducedMotion: "reduce" })).join("Ada");
    await ada.say("calm");
    await ada.delivered("calm");
    assert.equal(await ada.page.evaluate(() => document.getAnimations().length), 0);
    assert.equal(await ada.$(".bead").count(), 0);
  });

  test("bounds what it keeps: more messages than that leave no more lines", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    const grace = await (await browser.open(app.url)).join("Grace");
    await ada.page.evaluate(() => {
      const text = document.getElementById("text");
      const form = document.getElementById("composer");
      for (let i = 0; i < 350; i += 1) {
        text.value = `many ${i}`;
        form.requestSubmit();
      }
    });
    await grace.page.getByText("many 349", { exact: true }).waitFor({ timeout: 120_000 });
    for (const w of [ada, grace]) {
      assert.ok((await w.$("#messages > li").count()) <= 300);
      assert.ok((await w.$("#rows > li").count()) <= 250);
    }
    const texts = await grace.texts();
    assert.deepEqual(texts.slice(-3), ["many 347", "many 348", "many 349"]);
  });

  test("has a dashboard that tells the server's state and figures", async () => {
    const w = await browser.open(`${app.url}dashboard.html`);
    await w.sees("Ready");
    await w.$("#all tr").first().waitFor();
    await w.shot("dashboard");
    await w.page.setViewportSize({ width: 360, height: 740 });
    await w.noSidewaysScroll();
    await w.shot("dashboard-phone");
  });
});

describe("page without the client script", () => {
  const browser = useBrowser();
  let app;
  let dir;
  before(async () => {
    dir = await fs.mkdtemp(path.join(os.tmpdir(), "holdfast-client-"));
    app = await new App({ HOLDFAST_CLIENT_DIR: dir }).start();
  });
  after(async () => {
    await app?.stop();
    await fs.rm(dir, { recursive: true, force: true });
  });

  test("says what to do, and goes on once it is done", async () => {
    const w = await browser.open(app.url);
    await w.page.getByRole("alert").getByText("npm ci").waitFor();
    assert.equal(await w.$("#join").isVisible(), false);
    await w.shot("client-missing");
    await fs.cp(clientDir, dir, { recursive: true });
    await w.join("Ada");
  });
});
