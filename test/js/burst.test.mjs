// 200 broadcasts in one burst to 500 websocket clients: 100,000 deliveries, in order, none lost.
// Runs alone: it takes all that the machine can do.

import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, connect } from "./lib/clients.mjs";
import { scale } from "./lib/env.mjs";
import { useServer } from "./lib/server.mjs";
import { deferred, parallel, within } from "./lib/waiting.mjs";

const CLIENTS = 500;
const EVENTS = 200;
const server = useServer();

for (let run = 1; run <= scale.burstRuns; run++) {
  test(`${EVENTS} broadcasts to ${CLIENTS} clients, run ${run} of ${scale.burstRuns}`, async (t) => {
    const done = deferred();
    let delivered = 0;
    let disorder = 0;
    const sockets = await parallel(CLIENTS, 50, async () => {
      const socket = await connect(server, { multiplex: false });
      let last = -1;
      socket.on("tick", (n) => {
        if (n !== last + 1) disorder++;
        last = n;
        if (++delivered === CLIENTS * EVENTS) done.resolve();
      });
      return socket;
    });
    await server.control("emit", { event: "tick", times: EVENTS, numbered: true, args: ["a small payload"] });
    await within(done.promise, "the burst", 60_000).catch(() => {}); // the assertion says how many are missing
    await Promise.all(sockets.map((socket) => ask(socket, "echo", 1))); // whatever comes twice has come by now
    t.diagnostic(`lost: ${CLIENTS * EVENTS - delivered}`);
    assert.deepEqual({ delivered, disorder }, { delivered: CLIENTS * EVENTS, disorder: 0 });
  });
}

test("a burst into a room misses whoever left it and whoever is excepted", async () => {
  const sockets = await parallel(30, 10, async (i) => {
    const socket = await connect(server);
    socket.heard = 0;
    socket.on("room tick", () => socket.heard++);
    await ask(socket, "join", "burst");
    if (i % 3 === 0) await ask(socket, "leave", "burst");
    if (i % 3 === 1) await ask(socket, "join", "spared");
    return socket;
  });
  await server.control("emit", { rooms: ["burst"], except: ["spared"], event: "room tick", times: 100, numbered: true });
  await Promise.all(sockets.map((socket) => ask(socket, "echo", 1)));
  assert.deepEqual(sockets.map((socket) => socket.heard), sockets.map((_, i) => (i % 3 === 2 ? 100 : 0)));
});
