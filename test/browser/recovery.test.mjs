// What a window misses: kept by the server while it is away, through a crash as well, and the history of the room.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { App } from "./lib/app.mjs";
import { picture, useBrowser } from "./lib/window.mjs";

const said = (prefix, count) => Array.from({ length: count }, (_, i) => `${prefix} ${i}`);

/** What a window was handed over, and says of it. */
async function handedOver(window, texts) {
  await window.state("online");
  await window.$(".event-good").getByText(texts.length === 1 ? "One message was kept for you" : `${texts.length} messages were kept for you`).waitFor();
  assert.deepEqual(await window.$(".msg[data-kept] p.msg-text").allTextContents(), texts);
  const rows = window.$('.row[data-replayed][data-name="message"]');
  await rows.nth(texts.length - 1).waitFor({ state: "attached" }); // drawn with the next frame
  assert.equal(await rows.count(), texts.length);
  await window.sees("with everything that was said meanwhile");
}

describe("recovery", () => {
  const app = new App();
  const browser = useBrowser();
  before(() => app.start());
  after(() => app.stop());

  const two = async (options) => [await (await browser.open(app.url, options)).join("Ada"), await (await browser.open(app.url, options)).join("Grace")];

  test("a cut line: what the other said meanwhile was kept, in order, each once, and is marked", async () => {
    const [ada, grace] = await two();
    await grace.transport("websocket");
    await ada.say("before");
    await grace.reads("before");
    const release = await grace.hold();
    await grace.$("#cut").click();
    await grace.state("cut");
    await ada.sees(`${grace.name} lost the connection`);
    const missed = said("missed", 5);
    for (const text of missed) await ada.say(text);
    await ada.delivered(missed.at(-1));
    assert.equal(await grace.message("missed 0").count(), 0);
    release();
    await handedOver(grace, missed);
    await ada.say("after");
    await grace.reads("after");
    assert.deepEqual(await grace.texts(), ["before", ...missed, "after"]);
    assert.equal(await grace.message("after").getAttribute("data-kept"), null);
    await grace.shot("recovered");
    await grace.person(ada, { here: true }).waitFor();
    await ada.person(grace, { here: true }).waitFor();
  });

  test("who came and went meanwhile is in the list, and only they", async () => {
    const [ada, grace] = await two();
    await grace.$("#offline").click();
    await grace.state("offline");
    await ada.sees(`${grace.name} lost the connection`);
    const eve = await (await browser.open(app.url)).join("Eve");
    await ada.$("#leave").click();
    await eve.sees(`${ada.name} left`);
    await grace.$("#offline").click();
    await grace.state("online");
    await grace.sees(`${ada.name} left`);
    await grace.person(eve, { here: true }).waitFor();
    assert.deepEqual((await grace.$("#people li").evaluateAll((all) => all.map((li) => li.dataset.name))).sort(), [eve.name, grace.name].sort());
    await eve.person(grace, { here: true }).waitFor();
  });

  test("an image is kept as well", async () => {
    const [ada, grace] = await two();
    await grace.$("#offline").click();
    await grace.state("offline");
    await ada.$("#image").setInputFiles(await picture(ada, { name: "kept.png", width: 40, height: 30 }));
    await ada.$('.msg[data-state="sent"] img[alt*=kept]').waitFor();
    await grace.$("#offline").click();
    const img = grace.$(".msg[data-kept] img[alt*=kept]");
    await img.waitFor();
    assert.equal(await img.evaluate((el) => el.decode().then(() => el.naturalWidth)), 40);
  });

  test("a new session, where the old one is over, reads from the history what it missed", async () => {
    const [ada, grace] = await two();
    await ada.say("both saw this");
    await grace.reads("both saw this");
    const storage = await grace.page.evaluate(() => JSON.stringify(sessionStorage));
    const copy = await browser.open(app.url, {
      prepare: (page) =>
        page.addInitScript((json) => {
          for (const [key, value] of Object.entries(JSON.parse(json))) sessionStorage.setItem(key, value);
        }, storage),
    });
    await copy.state("online");
    await grace.state("replaced");
    await ada.say("the first window missed this");
    await ada.say("and this");
    await copy.reads("and this");
    await grace.page.getByRole("button", { name: "Take it back" }).click();
    await grace.sees("2 messages came from the history");
    assert.deepEqual(await grace.texts(), ["both saw this", "the first window missed this", "and this"]);
    await ada.say("live again");
    await grace.reads("live again");
    assert.deepEqual((await grace.texts()).slice(-2), ["and this", "live again"]);
    await grace.shot("history-after-replaced");
  });
});

describe("a crash", () => {
  const app = new App();
  const browser = useBrowser();
  before(() => app.start());
  after(() => app.stop());

  test("kill -9 between two messages: the one who was away gets them, marked, when the server is back", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    const grace = await (await browser.open(app.url)).join("Grace");
    const phone = await (await browser.open(app.url, { viewport: { width: 360, height: 740 }, colorScheme: "dark" })).join("Eve");
    await ada.person(phone).waitFor();
    await grace.$("#offline").click();
    await grace.state("offline");
    await phone.$("#offline").click();
    await phone.state("offline");
    await ada.say("before the crash");
    await ada.delivered("before the crash");
    await app.kill();
    await ada.state("gone");
    await ada.say("while it was down");
    await app.start();
    await ada.delivered("while it was down");
    await ada.$(".event-good").getByText("Nothing was missed").waitFor();

    await grace.$("#offline").click();
    await handedOver(grace, ["before the crash", "while it was down"]);
    await grace.shot("recovered-after-crash");
    await phone.$("#offline").click();
    await handedOver(phone, ["before the crash", "while it was down"]);
    await phone.noSidewaysScroll();
    await phone.shot("recovered-after-crash-phone-dark");
    await ada.sees(`${grace.name} is back`);
    assert.equal(await ada.page.getByText(`${grace.name} joined`).count(), 1, "she is back, and did not join again");
    await grace.person(ada, { here: true }).waitFor();
    await ada.person(phone, { here: true }).waitFor();
  });

  test("a message whose receipt went down with the server is sent again and stored once", async () => {
    let crash = null;
    const ada = await browser.open(app.url, {
      prepare: (page) =>
        page.routeWebSocket(/socket\.io/, (socket) => {
          const server = socket.connectToServer();
          socket.onMessage((message) => server.send(message));
          server.onMessage((message) => {
            if (!crash && typeof message === "string" && /^43\/chat,\d+\[\{"id"/.test(message)) {
              crash = app.kill(); // the receipt gets no further
              return;
            }
            socket.send(message);
          });
        }),
    });
    await ada.$("#transport").selectOption("websocket");
    await ada.join("Ada");
    const grace = await (await browser.open(app.url)).join("Grace");
    await ada.say("once, whatever happens");
    await grace.reads("once, whatever happens");
    await ada.state("gone");
    await crash;
    await app.start();
    await ada.delivered("once, whatever happens");
    await ada.sees("sent twice, kept once");
    await ada.say("the next");
    await grace.reads("the next");
    assert.deepEqual(await grace.texts(), ["once, whatever happens", "the next"]);
    const eve = await (await browser.open(app.url)).join("Eve");
    assert.deepEqual((await eve.allTexts()).slice(-2), ["once, whatever happens", "the next"]);
    assert.equal(await eve.message("once, whatever happens").count(), 1);
  });
});

describe("history", () => {
  const app = new App();
  const browser = useBrowser();
  before(() => app.start());
  after(() => app.stop());

  test("who opens the chat sees what was said, older messages on demand, nothing twice", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    const all = said("old", 130);
    await ada.page.evaluate((texts) => {
      const text = document.getElementById("text");
      for (const t of texts) {
        text.value = t;
        document.getElementById("composer").requestSubmit();
      }
    }, all);
    await ada.$(".msg").getByText("old 129", { exact: true }).waitFor();
    await ada.page.locator('.msg[data-state="sent"]').nth(129).waitFor({ timeout: 120_000 });

    const grace = await (await browser.open(app.url)).join("Grace");
    assert.deepEqual(await grace.allTexts(), all.slice(-50));
    await grace.sees("You joined");
    assert.match(await grace.message("old 129").locator("time").textContent(), /\d:\d\d/);
    await grace.inSight("You joined");
    await grace.shot("history");

    // Older ones come above, and what is being looked at stays where it is.
    await grace.$("#earlier").scrollIntoViewIfNeeded();
    const place = () => grace.message("old 81").evaluate((li) => Math.round(li.getBoundingClientRect().top));
    const was = await place();
    await grace.$("#earlier").click();
    await grace.reads("old 30");
    await grace.frames(4);
    assert.ok(Math.abs((await place()) - was) <= 8, `it moved from ${was} to ${await place()}`);
    await grace.shot("history-earlier");
    await grace.$("#earlier").click();
    await grace.reads("old 0");
    assert.deepEqual(await grace.allTexts(), all);
    await grace.$("#earlier").waitFor({ state: "hidden" });
    await ada.say("new");
    await grace.reads("new");
    assert.deepEqual(await grace.texts(), ["new"]);

    // One's own are there after a reload, once each.
    await ada.page.reload();
    await ada.state("online");
    await ada.settled();
    assert.deepEqual(await ada.allTexts(), [...all.slice(-49), "new"]);
    assert.equal(await ada.$(".msg.mine").count(), 50);
    await ada.$("#text").fill("x");
    await ada.say("and one more");
    await ada.delivered("and one more");
    assert.equal(await ada.message("and one more").count(), 1);
  });

  test("with more images than one answer holds", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    const files = [];
    for (let i = 0; i < 14; i += 1) files.push(await picture(ada, { name: `p${i}.png`, width: 24 + i, height: 24 }));
    for (const file of files) {
      await ada.$("#image").setInputFiles(file);
      await ada.$(`.msg[data-state="sent"] img[alt$="${file.name}"]`).waitFor();
    }
    const grace = await (await browser.open(app.url)).join("Grace");
    assert.equal(await grace.$(".msg img").count(), 14);
    assert.deepEqual(
      await grace.$(".msg img").evaluateAll((all) => all.map((img) => img.naturalWidth)),
      files.map((_, i) => 24 + i),
    );
    await grace.inSight("You joined");
    await grace.shot("history-images");
  });
});

describe("without recovery", () => {
  const app = new App({ HOLDFAST_RECOVERY__ENABLED: "false" });
  const browser = useBrowser();
  before(() => app.start());
  after(() => app.stop());

  test("the chat works, and says what it can't do", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    const grace = await (await browser.open(app.url)).join("Grace");
    await ada.say("hello");
    await grace.reads("hello");
    await grace.$("#offline").click();
    await grace.state("offline");
    await ada.say("lost on her");
    await ada.delivered("lost on her");
    await grace.$("#offline").click();
    await grace.$(".event-bad").getByText("Not all that was said meanwhile is here").waitFor();
    await ada.say("live");
    await grace.reads("live");
    assert.deepEqual(await grace.texts(), ["hello", "live"]);
    assert.equal(await grace.$("#earlier").isVisible(), false);
  });
});
