// Clients that are many, silent or deaf: others are served, and memory goes back to where it was.
// Runs alone: it opens tens of thousands of connections.

import assert from "node:assert/strict";
import net from "node:net";
import { afterEach, describe, test } from "node:test";
import { useBystander } from "./lib/bystander.mjs";
import { collect, eventually, parallel, within } from "./lib/waiting.mjs";
import { holdfastOnly, isNode, scale } from "./lib/env.mjs";
import { RawConnection, RawPolling } from "./lib/raw-http.mjs";
import { frame, RawWebSocket } from "./lib/raw-websocket.mjs";
import { useServer } from "./lib/server.mjs";

const MB = 1 << 20;

describe("clients that never read", () => {
  const sendBuffer = 256 * 1024;
  const stalled = 10;
  const server = useServer({ sendBuffer, pingInterval: "1s", pingTimeout: "4s" });
  const bystander = useBystander(server);
  afterEach(() => bystander.unharmed());

  // Broadcasts bursts of numbered events, 160 KB each, until `done`; each burst only once the bystander has the one before.
  async function broadcastUntil(done, bursts = 500) {
    let peak = 0;
    for (let burst = 0; burst < bursts; burst++) {
      const ticks = collect(bystander.socket, "tick", 20);
      await server.control("emit", { event: "tick", times: 20, numbered: true, bytes: 8000 });
      assert.deepEqual(await ticks, Array.from({ length: 20 }, (_, n) => n), "the bystander misses nothing");
      const { sessions, heapBytes } = await server.stats();
      peak = Math.max(peak, heapBytes);
      if (done(sessions)) return { peak, burst };
    }
    assert.fail("the deaf clients were never closed");
  }

  test(
    `${stalled} websockets that answer pings and never read are closed at their send buffer's bound`,
    holdfastOnly("Socket.IO has no such bound"),
    async (t) => {
      const { heapBytes } = await server.stats();
      const deaf = await parallel(stalled, stalled, async () => {
        const ws = await RawWebSocket.join(server);
        ws.socket.pause();
        return ws;
      });
      const pongs = setInterval(() => deaf.forEach((ws) => ws.write(frame({ payload: "3" }))), 300);
      const { peak, burst } = await broadcastUntil((sessions) => sessions === 1).finally(() => clearInterval(pongs));
      t.diagnostic(`closed after ${((burst + 1) * 0.16).toFixed(1)} MB each; heap ${(heapBytes / MB).toFixed(1)} MB before, ${(peak / MB).toFixed(1)} MB at most`);
      assert.ok(peak - heapBytes < stalled * sendBuffer + 24 * MB, `heap grew by ${peak - heapBytes} bytes`);
      for (const ws of deaf) {
        const { disconnects } = await server.disconnectOf(ws.id);
        assert.deepEqual(disconnects, [{ reason: "send buffer full" }]);
        ws.destroy();
      }
    },
  );

  test(`${stalled} polls whose answer is never read end with their sessions`, holdfastOnly("Socket.IO has no such bound"), async () => {
    const deaf = await parallel(stalled, stalled, async () => {
      const polling = await RawPolling.join(server);
      const poll = await polling.polling();
      poll.socket.pause();
      return { polling, poll };
    });
    await broadcastUntil((sessions) => sessions === 1);
    for (const { polling, poll } of deaf) {
      assert.equal((await server.disconnectOf(polling.id)).disconnects.length, 1);
      poll.destroy();
    }
  });

  test("a client that stalls for a moment and reads again has everything, in order", async () => {
    const ws = await RawWebSocket.join(server);
    ws.socket.pause();
    await server.control("emit", { event: "tick", times: 20, numbered: true, bytes: 8000 });
    await bystander.echo();
    ws.socket.resume();
    for (let n = 0; n < 20; n++) assert.match(await ws.text(), new RegExp(`^42\\["tick",${n},`));
    ws.destroy();
  });
});

describe(`${scale.idleSockets} sockets that send nothing`, () => {
  const server = useServer({ headerTimeout: "5s", connectTimeout: "10s", pingInterval: "60s", pingTimeout: "60s" });
  const bystander = useBystander(server, { heapSlack: 16 * MB });

  const open = (count, connect) => parallel(count, 200, connect);
  const untilClosed = (sockets) =>
    within(Promise.all(sockets.map((socket) => (socket.closed ? Promise.resolve() : new Promise((resolve) => socket.once("close", resolve))))), "the server to close them", 60_000);

  test("TCP connections without a request are closed, others are served meanwhile", async () => {
    const sockets = await open(scale.idleSockets, () => {
      const socket = net.connect({ port: server.port, host: "127.0.0.1" }).on("error", () => {}).resume();
      return within(new Promise((resolve) => socket.once("connect", () => resolve(socket)).once("close", () => resolve(socket))), "a connection");
    });
    assert.equal(await bystander.echo(), "alive");
    if (isNode) for (const socket of sockets) socket.destroy(); // its headers timeout begins with the first byte
    await untilClosed(sockets);
    await bystander.unharmed(30_000);
  });

  test("websockets that never join a namespace are closed, others are served meanwhile", async (t) => {
    const before = await server.stats();
    const clients = await open(scale.idleSockets, () => RawWebSocket.open(server));
    assert.equal(await bystander.echo(), "alive");
    const { sessions, heapBytes, goroutines } = await server.stats();
    t.diagnostic(`${sessions} sessions: ${((heapBytes - before.heapBytes) / sessions / 1024).toFixed(1)} KB of heap and stacks and ${((goroutines - before.goroutines) / sessions).toFixed(2)} goroutines each`);
    await untilClosed(clients.map((ws) => ws.socket));
    await bystander.unharmed(30_000);
  });

  test("sessions that are opened by polling and never polled again are closed", async () => {
    const request = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n";
    // Few connections are enough for many sessions.
    await parallel(20, 20, async () => {
      const connection = new RawConnection(server);
      for (let i = 0; i < scale.idleSockets / 20; i++) {
        await connection.write(request);
        assert.equal((await connection.response()).status, 200);
      }
      connection.destroy();
    });
    assert.equal(await bystander.echo(), "alive");
    await eventually("the sessions to go", async () => (await server.stats()).sessions === 1, 60_000);
    await bystander.unharmed(30_000);
  });
});
