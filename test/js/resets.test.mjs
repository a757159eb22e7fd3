// Clients that reset their connection at a random moment around CONNECT: no ghost stays in a namespace or a room, and
// nobody disconnects twice.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ask, connect } from "./lib/clients.mjs";
import { scale } from "./lib/env.mjs";
import { RawConnection, RawPolling } from "./lib/raw-http.mjs";
import { frame, RawWebSocket } from "./lib/raw-websocket.mjs";
import { useServer } from "./lib/server.mjs";
import { parallel } from "./lib/waiting.mjs";

const moment = () => new Promise((resolve) => {
  const ms = Math.random() * 4;
  if (ms < 1) setImmediate(resolve);
  else setTimeout(resolve, ms);
});

// Each stage is a moment at which the client is gone.
const websocketStages = [
  async (server) => {
    const ws = new RawWebSocket(server.port, "/socket.io/?EIO=4&transport=websocket");
    ws.upgraded.catch(() => {});
    await moment();
    ws.reset();
  },
  async (server) => {
    const ws = await RawWebSocket.open(server);
    ws.reset();
  },
  async (server) => {
    const ws = await RawWebSocket.open(server);
    await ws.send("40/crowd,");
    ws.reset();
  },
  async (server) => {
    const ws = await RawWebSocket.open(server);
    await ws.send("40/crowd,");
    await moment();
    ws.reset();
  },
  async (server) => {
    const ws = await RawWebSocket.open(server);
    await ws.write(Buffer.concat([frame({ payload: "40" }), frame({ payload: "40/crowd," }), frame({ payload: '42["join","extra"]' })]));
    await moment();
    ws.reset();
  },
  async (server) => {
    const ws = await RawWebSocket.join(server, { nsp: "/crowd" });
    ws.reset();
  },
  async (server) => {
    const ws = await RawWebSocket.join(server, { nsp: "/crowd" });
    await ws.write(Buffer.concat([frame({ payload: '42/crowd,["join","extra"]' }), frame({ payload: "41/crowd," })]));
    ws.reset();
  },
];

const pollingStages = [
  async (server) => {
    const polling = await RawPolling.open(server);
    const connection = new RawConnection(server);
    await connection.request("POST", polling.url, { body: "40/crowd," });
    connection.reset();
  },
  async (server) => {
    const polling = await RawPolling.open(server);
    const poll = await polling.polling();
    await polling.post("40/crowd,");
    await moment();
    poll.reset();
  },
  async (server) => {
    const polling = await RawPolling.open(server);
    const poll = await polling.polling();
    await polling.post('40\x1e40/crowd,\x1e42["join","extra"]\x1e1');
    poll.reset();
  },
  async (server) => {
    const polling = await RawPolling.open(server);
    await polling.post("40/crowd,");
    const ws = await RawWebSocket.open(server, { sid: polling.opened.sid }).catch(() => null);
    if (!ws) return;
    await ws.send("2probe");
    await moment();
    ws.send("5");
    ws.reset();
  },
];

describe("clients that reset around CONNECT", () => {
  const server = useServer({ connectTimeout: "1s", pingInterval: "1s", pingTimeout: "3s" });

  for (const [name, stages, share] of [["websocket", websocketStages, 0.7], ["polling", pollingStages, 0.3]]) {
    const count = Math.round(scale.resets * share);
    test(`${count} over ${name}: none is left, none disconnects twice`, async (t) => {
      await server.forget();
      const bystander = await connect(server);
      await parallel(count, 40, (i) => stages[i % stages.length](server));
      const stats = await server.statsWhen(
        "every client to be gone",
        (s) => s.sessions === 1 && s.namespaces["/"] === 1 && s.namespaces["/crowd"] === 0,
        20_000,
      );
      t.diagnostic(`connected ${stats.connects}, disconnected ${JSON.stringify(stats.reasons)}`);
      assert.equal(stats.rooms, 0);
            assert.equal(stats.doubles, 0, "a socket connected or disconnected twice");
      assert.equal(stats.orphans, 0, "a socket disconnected that never connected");
      assert.equal(stats.disconnects, stats.connects - 1, "all but the bystander have disconnected");
      assert.deepEqual(await server.control("fetchSockets", { nsp: "/crowd", rooms: ["crowd"] }), []);
      assert.equal(await ask(bystander, "echo", 1), 1);
    });
  }
});
