// The tap behind the traffic pane, given packets directly: among them what a server sends only in rare moments.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { App } from "./lib/app.mjs";
import { useBrowser } from "./lib/window.mjs";

describe("tap", () => {
  const app = new App();
  const browser = useBrowser();
  before(() => app.start());
  after(() => app.stop());

  /** Feeds a tap with [direction, type, data] packets; data "bytes:n" is binary. Returns what it tells. */
  async function feed(packets, { close = false } = {}) {
    const w = await browser.open(app.url);
    return w.page.evaluate(
      async ([list, end]) => {
        const { Tap } = await import("/js/tap.js");
        const listeners = {};
        const tap = new Tap({ greeting: "welcome" });
        const rows = [];
        tap.addEventListener("row", (event) => rows.push(event.detail));
        tap.attach({ on: (name, f) => (listeners[name] = f) });
        for (const [dir, type, data] of list) {
          const size = /^bytes:(\d+)$/.exec(data ?? "");
          listeners[dir === "in" ? "packet" : "packetCreate"]({ type, data: size ? new ArrayBuffer(Number(size[1])) : data });
        }
        if (end) listeners.close();
        return { rows: rows.map(({ kind, name, args, offset, bytes, ack, replayed, sizes, answer }) => ({ kind, name, args, offset, bytes, ack, replayed, sizes, answer })), bytes: tap.bytes };
      },
      [packets, close],
    );
  }

  test("pairs an event with its ack, of the right namespace and side", async () => {
    const { rows } = await feed([
      ["out", "message", '2/chat,7["ask",1]'],
      ["out", "message", '27["ask root"]'],
      ["in", "message", '2/chat,7["asked back"]'],
      ["in", "message", '3/chat,7[{"ok":true}]'],
      ["out", "message", "3/chat,7[]"],
      ["in", "message", "399[]"],
    ]);
    assert.deepEqual(
      rows.map((row) => [row.name, row.ack, row.answer]),
      [["ask", "done", [{ ok: true }]], ["ask root", "waiting", null], ["asked back", "done", []], ["ack", null, null]],
    );
  });

  test("counts attachments to their packet", async () => {
    const { rows, bytes } = await feed([
      ["in", "message", '52-/chat,["image",{"a":{"_placeholder":true,"num":1},"b":[{"_placeholder":true,"num":0}]}]'],
      ["in", "message", "bytes:10"],
      ["in", "message", "bytes:300"],
    ]);
    assert.equal(rows.length, 1);
    assert.deepEqual(rows[0].args, [{ a: "<binary, 300 bytes>", b: ["<binary, 10 bytes>"] }]);
    assert.deepEqual(rows[0].sizes, [10, 300]);
    assert.equal(rows[0].bytes, bytes.in);
  });

  test("marks what a recovery replays: events between CONNECT, with the session that was asked for, and the greeting", async () => {
    for (const [pid, replayed] of [["p", true], ["another", false]]) {
      const { rows } = await feed([
        ["out", "message", '0/chat,{"pid":"p","offset":"o"}'],
        ["in", "message", `0/chat,{"sid":"s","pid":"${pid}"}`],
        ["in", "message", '2/chat,["message",{},"o2"]'],
        ["in", "message", '2["of another namespace"]'],
        ["in", "message", '2/chat,["welcome",{},"o3"]'],
        ["in", "message", '2/chat,["message",{},"o4"]'],
      ]);
      assert.deepEqual(rows.map((row) => [row.kind, row.replayed]), [["connect", false], ["connect", false], ["event", replayed], ["event", false], ["event", false], ["event", false]]);
    }
  });

  test("tells the offset from the arguments, where the namespace has any", async () => {
    const { rows } = await feed([
      ["in", "message", '0/chat,{"sid":"s","pid":"p"}'],
      ["in", "message", '2/chat,["message",{},"o1"]'],
      ["in", "message", '2/chat,5["asked",{},"text"]'],
      ["out", "message", '2/chat,["said","text"]'],
      ["in", "message", '2["other","text"]'],
      ["in", "message", '0/chat,{"sid":"s"}'],
      ["in", "message", '2/chat,["message","text"]'],
    ]);
    assert.deepEqual(
      rows.filter((row) => row.kind === "event").map((row) => [row.args, row.offset]),
      [[[{}], "o1"], [[{}, "text"], null], [["text"], null], [["text"], null], [["text"], null]],
    );
  });

  test("says which acks a closed connection took along, and survives nonsense", async () => {
    const { rows } = await feed([["out", "message", '20["lost"]'], ["in", "message", "2[broken"], ["in", "message", "9"], ["in", "message", "bytes:5"], ["in", "ping"]], { close: true });
    assert.deepEqual(rows.map((row) => [row.kind, row.name, row.ack]), [["event", "lost", "lost"], ["unknown", "unreadable", null], ["unknown", "unreadable", null], ["beat", "ping", null]]);
  });
});
