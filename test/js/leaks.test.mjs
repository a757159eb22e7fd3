// Connects and disconnects leave nothing behind: no goroutine, no session, no room, no memory.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ask, client, connected, settled, TRANSPORTS } from "./lib/clients.mjs";
import { isNode, scale } from "./lib/env.mjs";
import { useServer } from "./lib/server.mjs";
import { parallel } from "./lib/waiting.mjs";

const MB = 1 << 20;

describe("leaks", () => {
  const server = useServer({ pingInterval: "2s", pingTimeout: "5s", connectTimeout: "2s" });

  // How a client may leave.
  const partings = [
    (socket) => socket.disconnect(),
    (socket) => socket.io.engine.close(),
    (socket) => socket.emit("bye", true),
    (socket) => socket.emit("late ack", 5, () => socket.disconnect()),
  ];

  async function round(via, count) {
    await parallel(count, 25, async (i) => {
      const socket = await settled(server, { via, auth: { n: i } });
      socket.emit("join", `room ${i % 7}`);
      socket.emit("echo", Buffer.alloc(100));
      await ask(socket, "echo", "x".repeat(1000));
      if (i % 3 === 0) await connected(socket.io.socket("/custom"));
      const gone = new Promise((resolve) => socket.once("disconnect", resolve));
      partings[i % partings.length](socket);
      await gone;
      socket.io._close();
    });
    await server.forget();
  }

  const atRest = (stats) => stats.sessions === 0 && stats.sockets === 0 && stats.rooms === 0;

  for (const via of TRANSPORTS) {
    test(`${via}: ${scale.leakRounds} connects and disconnects`, async (t) => {
      await round(via, 50); // what is made once and kept is there now
      const before = await server.statsWhen("no session", atRest);
      await round(via, scale.leakRounds);
      const after = await server.statsWhen(
        `no session, ${before.goroutines} goroutines`,
        (s) => atRest(s) && (isNode || s.goroutines <= before.goroutines + 2),
        20_000,
      );
      t.diagnostic(`goroutines ${before.goroutines} -> ${after.goroutines}, heap ${(before.heapBytes / MB).toFixed(1)} -> ${(after.heapBytes / MB).toFixed(1)} MB`);
      assert.ok(after.heapBytes - before.heapBytes < 4 * MB, `heap grew by ${after.heapBytes - before.heapBytes} bytes`);
    });
  }

  test("refused clients leave nothing either", async () => {
    const before = await server.statsWhen("no session", atRest);
    await parallel(scale.leakRounds, 25, async (i) => {
      const nsp = ["/auth", "/nowhere", "/turned-away", "/thrown-out"][i % 4];
      const socket = client(server, { nsp, via: TRANSPORTS[i % 3] });
      await new Promise((resolve) => socket.once("connect_error", resolve).once("disconnect", resolve));
      socket.io._close();
    });
    await server.forget();
    await server.statsWhen(
      `no session, ${before.goroutines} goroutines`,
      (s) => atRest(s) && s.namespaceCount === before.namespaceCount && (isNode || s.goroutines <= before.goroutines + 2),
      20_000,
    );
  });
});
