// What people do with the demo page: talk, in two windows and more.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { App } from "./lib/app.mjs";
import { picture, useBrowser } from "./lib/window.mjs";

describe("chat", () => {
  const app = new App();
  const browser = useBrowser();
  before(() => app.start());
  after(() => app.stop());

  test("two windows talk, in order, and the sender sees each message confirmed", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    const grace = await (await browser.open(app.url)).join("Grace");
    const said = Array.from({ length: 20 }, (_, i) => `message ${i}`);
    for (const text of said) await ada.say(text);
    await grace.reads(said.at(-1));
    assert.deepEqual(await grace.texts(), said);
    await ada.delivered(said.at(-1));
    assert.deepEqual(await ada.texts(), said);
    assert.match(await ada.message("message 3").locator(".msg-state").textContent(), /✓ .*ms/);
    await grace.say("and back");
    await ada.reads("and back");
    assert.equal(await ada.message("and back").locator(".msg-who").textContent(), grace.name);
  });

  test("markup is text, and a long word wraps", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    const grace = await (await browser.open(app.url)).join("Grace");
    const markup = `<img src=x onerror="document.title='taken'"><script>document.title='taken'</script>`;
    await ada.say(markup);
    await ada.say("m".repeat(1500));
    await grace.reads(markup);
    await grace.reads("m".repeat(1500));
    assert.notEqual(await grace.page.title(), "taken");
    assert.equal(await grace.$(".messages img, .messages script").count(), 0);
    await grace.noSidewaysScroll();
  });

  test("a line break is kept, and nothing but spaces is not sent", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    const grace = await (await browser.open(app.url)).join("Grace");
    await ada.say("   ");
    await ada.$("#text").fill("one");
    await ada.$("#text").press("Shift+Enter");
    await ada.$("#text").pressSequentially("two");
    await ada.$("#text").press("Enter");
    await grace.sees("two");
    assert.deepEqual(await grace.texts(), ["one\ntwo"]);
  });

  test("typing is shown while it lasts", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    const grace = await (await browser.open(app.url)).join("Grace");
    // Typing is volatile: in the middle of the upgrade it would be dropped.
    await ada.transport("websocket");
    await grace.transport("websocket");
    await ada.$("#text").pressSequentially("thinking");
    await grace.sees(`${ada.name} is typing`);
    await ada.$("#text").press("Enter");
    await grace.reads("thinking");
    await grace.until(() => document.getElementById("typing").textContent === "");
    await ada.$("#text").pressSequentially("more");
    await grace.sees(`${ada.name} is typing`);
    await ada.$("#text").fill("");
    await grace.until(() => document.getElementById("typing").textContent === "");
  });

  test("who is here: joined, connection lost, back, left", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    await ada.sees("Nobody else is here yet.");
    const grace = await (await browser.open(app.url)).join("Grace");
    await ada.sees(`${grace.name} joined`);
    await ada.person(grace, { here: true }).waitFor();
    await grace.person(ada, { here: true }).waitFor();
    assert.equal(await ada.$("#alone").isVisible(), false);

    await grace.$("#offline").click();
    await ada.sees(`${grace.name} lost the connection`);
    await ada.person(grace, { here: false }).waitFor();
    await grace.$("#offline").click();
    await ada.sees(`${grace.name} is back`);
    await ada.person(grace, { here: true }).waitFor();

    await grace.$("#leave").click();
    await ada.sees(`${grace.name} left`);
    await ada.person(grace).waitFor({ state: "detached" });
    await grace.$("#join").waitFor();
  });

  test("a window that is closed has left, at once", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    const grace = await (await browser.open(app.url)).join("Grace");
    await ada.person(grace).waitFor();
    await grace.transport("websocket");
    await grace.page.goto("about:blank");
    await ada.sees(`${grace.name} left`);
  });

  test("a name that is taken or no name is refused in the form, another one gets in", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    const second = await browser.open(app.url);
    await second.$("#name").fill(ada.name.toUpperCase());
    await second.$("#name").press("Enter");
    await second.until(() => /taken/.test(document.getElementById("join-error").textContent));
    assert.equal(await second.page.evaluate(() => document.activeElement.id), "name");
    await second.$("#name").fill("<b>");
    await second.$("#name").press("Enter");
    await second.until(() => /letters/.test(document.getElementById("join-error").textContent));
    await second.shot("name-refused");
    await second.join("Grace");
  });

  test("a reload keeps the name, and a second tab of the same session takes it over", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    await ada.page.reload();
    await ada.state("online");
    assert.equal(await ada.$("#line-you").textContent(), ada.name);

    const storage = await ada.page.evaluate(() => JSON.stringify(sessionStorage));
    const copy = await browser.open(app.url, {
      prepare: (page) =>
        page.addInitScript((json) => {
          for (const [key, value] of Object.entries(JSON.parse(json))) sessionStorage.setItem(key, value);
        }, storage),
    });
    await copy.state("online");
    await ada.state("replaced");
    await ada.sees("Another window took this name");
    await ada.page.getByRole("button", { name: "Take it back" }).click();
    await ada.state("online");
    await copy.state("replaced");
  });

  test("an image arrives as it was sent", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    const grace = await (await browser.open(app.url)).join("Grace");
    const file = await picture(ada, { name: "noise.png", width: 64, height: 48 });
    await ada.$("#image").setInputFiles(file);
    const shown = grace.$(`img[alt="Image from ${ada.name}: noise.png"]`);
    await shown.waitFor();
    const size = await shown.evaluate(async (img) => {
      await img.decode();
      return [img.naturalWidth, img.naturalHeight];
    });
    assert.deepEqual(size, [64, 48]);
    await ada.$('.msg[data-state="sent"] img').waitFor();
    const row = grace.$('.row[data-name="image"]').first();
    await row.locator("summary").click();
    await row.locator("dd").getByText(`<binary, ${file.buffer.length} bytes>`).waitFor();
  });

  test("a picture too large to be sent is scaled down, and what is none is refused", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    const grace = await (await browser.open(app.url)).join("Grace");
    const large = await picture(ada, { name: "large.png", width: 2400, height: 1600 });
    assert.ok(large.buffer.length > 1e6);
    await ada.$("#image").setInputFiles(large);
    await grace.$(`img[alt="Image from ${ada.name}: large.png"]`).waitFor();

    await ada.$("#image").setInputFiles({ name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("no picture") });
    await ada.sees("Only images can be sent.");
    // A type that lies gets as far as the server, which looks at the content.
    await ada.$("#image").setInputFiles({ name: "lie.png", mimeType: "image/png", buffer: Buffer.from("<svg onload=alert(1)>") });
    const refused = ada.$('.msg[data-state="failed"]');
    await refused.getByText("PNG, JPEG, GIF or WebP").waitFor();
    await ada.shot("image-refused");
    await refused.getByRole("button", { name: "Remove" }).click();
    await refused.waitFor({ state: "detached" });
    assert.equal(await grace.$("img[alt*=lie]").count(), 0);
  });
});
