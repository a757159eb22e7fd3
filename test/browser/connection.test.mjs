// The connection, as the page shows it and lets itself be disturbed.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { App } from "./lib/app.mjs";
import { useBrowser } from "./lib/window.mjs";

describe("connection", () => {
  const app = new App();
  const browser = useBrowser();
  before(() => app.start());
  after(() => app.stop());

  test("polling comes first, the upgrade is shown, round trips are measured", async () => {
    const ada = await browser.open(app.url, {
      prepare: (page) =>
        page.addInitScript(() => {
          window.transports = [];
          document.addEventListener("DOMContentLoaded", () => {
            const line = document.getElementById("line");
            new MutationObserver(() => {
              const now = line.dataset.transport;
              if (now !== window.transports.at(-1)) window.transports.push(now);
            }).observe(line, { attributes: true });
          });
        }),
    });
    await ada.join("Ada");
    await ada.transport("websocket");
    const seen = await ada.page.evaluate(() => window.transports.filter((t) => t !== "none"));
    assert.deepEqual(seen, ["polling", "websocket"]);
    await ada.sees("Connected over websocket");
    await ada.$(".row").getByText(/Upgraded from polling to websocket in \d+ ms/).waitFor();
    await ada.until(() => /ms/.test(document.getElementById("fact-rtt").textContent));
  });

  test("cut: it comes back by itself, and what was written meanwhile is sent once", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    const grace = await (await browser.open(app.url)).join("Grace");
    await ada.transport("websocket");
    const release = await ada.hold();
    await ada.$("#cut").click();
    await ada.state("cut");
    await ada.say("written while cut");
    await ada.$('.msg[data-state="pending"]').getByText("waits for the line").waitFor();
    await ada.shot("cut");
    release();
    await ada.state("online");
    await ada.delivered("written while cut");
    await grace.reads("written while cut");
    assert.equal(await grace.message("written while cut").count(), 1);
    assert.equal(await ada.$("#fact-returns").textContent(), "1");
    await ada.sees("The line was cut");
    await ada.sees("Back after");
  });

  test("offline: it stays away until asked back", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    const grace = await (await browser.open(app.url)).join("Grace");
    await ada.person(grace).waitFor();
    await grace.$("#offline").click();
    await grace.state("offline");
    await ada.sees(`${grace.name} lost the connection`);
    await ada.say("while you are away");
    await grace.say("written offline");
    await ada.delivered("while you are away");
    assert.equal(await grace.$("#line").getAttribute("data-state"), "offline");
    assert.equal(await grace.message("while you are away").count(), 0);
    await grace.shot("offline");

    await grace.$("#offline").click();
    await grace.state("online");
    await ada.reads("written offline");
    assert.equal(await ada.message("written offline").count(), 1);
    await grace.reads("while you are away");
  });

  test("a cut that falls between a message and its ack doubles nothing", async () => {
    let drop = true;
    const ada = await browser.open(app.url, {
      prepare: (page) =>
        page.routeWebSocket(/socket\.io/, (socket) => {
          const server = socket.connectToServer();
          socket.onMessage((message) => server.send(message));
          server.onMessage((message) => {
            // The ack of the message is lost with the connection.
            if (drop && typeof message === "string" && /^43\/chat,\d+\[\{"id"/.test(message)) {
              drop = false;
              server.close();
              socket.close({ code: 1011 });
              return;
            }
            socket.send(message);
          });
        }),
    });
    await ada.$("#transport").selectOption("websocket");
    await ada.join("Ada");
    const grace = await (await browser.open(app.url)).join("Grace");
    await ada.say("once, please");
    await ada.state("cut");
    await ada.delivered("once, please");
    assert.equal(drop, false);
    await ada.sees("sent twice, kept once");
    await ada.say("and another");
    await grace.reads("and another");
    assert.deepEqual(await grace.texts(), ["once, please", "and another"]);
    assert.deepEqual(await ada.texts(), ["once, please", "and another"]);
  });

  test("one transport can be forced, and stays", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    await ada.transport("websocket");
    await ada.$("#transport").selectOption("polling");
    await ada.state("cut");
    await ada.transport("polling");
    await ada.say("by polling");
    await ada.delivered("by polling");
    assert.equal(await ada.$("#line").getAttribute("data-transport"), "polling");
    await ada.shot("polling");
    await ada.$("#transport").selectOption("websocket");
    await ada.state("cut");
    await ada.transport("websocket");
    assert.equal(await ada.$(".row").getByText(/^Upgraded/).count(), 1, "websocket only needs no upgrade");
    await ada.say("by websocket");
    await ada.delivered("by websocket");
  });

  test("the traffic pane shows what travels, with sizes, acks and round trips", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    const grace = await (await browser.open(app.url)).join("Grace");
    await ada.say("on the wire");
    await grace.reads("on the wire");
    const out = ada.$('.row[data-dir="out"][data-name="message"]');
    await out.and(ada.$('[data-ack="done"]')).waitFor();
    assert.match(await out.locator(".row-ack").textContent(), /^✓ [\d.]+ ms$/);
    assert.match(await out.locator(".row-size").textContent(), /^\d+ B$/);
    await out.locator("summary").click();
    await out.getByText("Acknowledged after").waitFor();
    await grace.$('.row[data-dir="in"][data-name="message"]').waitFor();

    const probe = ada.$('.row[data-name="echo"]').first();
    await probe.waitFor({ state: "attached" });
    assert.equal(await probe.isVisible(), false);
    await ada.$("#show-beats").check();
    assert.equal(await probe.isVisible(), true);

    await ada.$("#pause").click();
    const before = await ada.$(".row").count();
    await ada.say("while paused");
    await grace.reads("while paused");
    await ada.delivered("while paused");
    assert.equal(await ada.$(".row").count(), before);
    await ada.$("#pause").click();
    await ada.$('.row[data-name="message"]').nth(1).waitFor();
    await ada.$("#clear").click();
    assert.equal(await ada.$('.row[data-name="message"]').count(), 0);
  });
});

describe("a server that goes away", () => {
  const app = new App();
  const browser = useBrowser();
  before(() => app.start());
  after(() => app.stop());

  test("is missed, said so, and met again", async () => {
    const ada = await (await browser.open(app.url)).join("Ada");
    const grace = await (await browser.open(app.url, { viewport: { width: 360, height: 740 }, colorScheme: "dark" })).join("Grace");
    await ada.transport("websocket");
    await app.kill();
    await ada.state("gone");
    await ada.sees("The server is gone");
    await ada.page.getByRole("alert").getByText("The server does not answer").waitFor();
    await ada.say("are you there?");
    await ada.$('.msg[data-state="pending"]').getByText("waits for the line").waitFor();
    await ada.shot("server-gone");
    await grace.state("gone");
    await grace.noSidewaysScroll();
    await grace.shot("server-gone-phone-dark");

    await app.start();
    await ada.page.getByRole("button", { name: "Try now" }).click({ timeout: 5000 }).catch(() => {}); // it may be back by itself already
    await ada.state("online");
    await grace.state("online");
    await ada.delivered("are you there?");
    await grace.reads("are you there?");
    await grace.say("here again");
    await ada.reads("here again");
    assert.deepEqual(await grace.texts(), ["are you there?", "here again"]);
    assert.deepEqual(await ada.texts(), ["are you there?", "here again"]);
    for (const [window, other] of [[ada, grace], [grace, ada]]) {
      await window.$(".event-good").getByText(/^Back after .*kept for you|^Back after .*Nothing was missed/).waitFor();
      await window.person(other, { here: true }).waitFor();
    }
    assert.equal(await ada.page.getByText("The server does not answer").isVisible(), false);
  });
});
