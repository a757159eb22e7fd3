// Partings: who is told what, once.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ask, client, connect, connected, disconnected, settled, TRANSPORTS } from "./lib/clients.mjs";
import { Proxy } from "./lib/proxy.mjs";
import { useServer } from "./lib/server.mjs";
import { next, parallel } from "./lib/waiting.mjs";

describe("Disconnect right after an emit", () => {
  const server = useServer();

  for (const via of TRANSPORTS) {
    for (const close of [true, false]) {
      test(`${via}: Disconnect(${close}): the client has the event and the reason, 200 of 200`, async () => {
        await server.statsWhen("the sockets of the test before to be gone", (s) => s.sessions === 0);
        await server.forget();
        const outcomes = await parallel(200, 20, async () => {
          const socket = await settled(server, { via });
          const { id } = socket;
          const events = [];
          socket.on("farewell", (value) => events.push(value));
          socket.emit("bye", close);
          const { reason } = await disconnected(socket);
          if (!close) socket.io._close();
          return { reason, farewell: events.length === 1 && events[0] === id };
        });
        const right = outcomes.filter(({ reason, farewell }) => reason === "io server disconnect" && farewell);
        assert.equal(right.length, 200, JSON.stringify(outcomes.filter((o) => !right.includes(o)).slice(0, 5)));
        const stats = await server.statsWhen("every socket to be gone", (s) => s.namespaces["/"] === 0 && s.disconnects >= 200);
        assert.deepEqual(
          { connects: stats.connects, disconnects: stats.disconnects, doubles: stats.doubles, reasons: stats.reasons },
          { connects: 200, disconnects: 200, doubles: 0, reasons: { "server namespace disconnect": 200 } },
        );
        assert.equal(stats.rooms, 0);
      });
    }

    test(`${via}: Disconnect(true) ends every namespace of the connection`, async () => {
      const main = await settled(server, { via });
      const other = await connected(main.io.socket("/custom"));
      const { id } = other;
      const gone = Promise.all([disconnected(main), disconnected(other)]);
      main.emit("bye", true);
      assert.deepEqual((await gone).map(({ reason }) => reason), ["io server disconnect", "io server disconnect"]);
      assert.deepEqual((await server.disconnectOf(id)).disconnects, [{ reason: "server namespace disconnect" }]);
    });

    test(`${via}: Disconnect(false) leaves the other namespaces alone`, async () => {
      const main = await settled(server, { via });
      const other = await connected(main.io.socket("/custom"));
      main.emit("bye", false);
      assert.equal((await disconnected(main)).reason, "io server disconnect");
      assert.equal(await ask(other, "echo", 1), 1);
      main.connect(); // and the client may come back on the same connection
      await connected(main);
      assert.equal(await ask(main, "echo", 2), 2);
    });
  }
});

describe("disconnect reasons", () => {
  const server = useServer({ pingInterval: "300ms", pingTimeout: "1200ms" });

  for (const via of TRANSPORTS) {
    test(`${via}: the client leaves a namespace`, async () => {
      const socket = await settled(server, { via });
      const other = await connected(socket.io.socket("/custom")); // keeps the connection open
      const { id } = socket;
      const told = disconnected(socket);
      socket.disconnect();
      assert.equal((await told).reason, "io client disconnect");
      assert.deepEqual((await server.disconnectOf(id)).disconnects, [{ reason: "client namespace disconnect" }]);
      assert.equal(await ask(other, "echo", 1), 1);
    });

    test(`${via}: the client closes the connection`, async () => {
      const socket = await settled(server, { via });
      const { id } = socket;
      socket.io.engine.close();
      const { disconnects } = await server.disconnectOf(id);
      assert.deepEqual(disconnects, [{ reason: "transport close" }]);
    });

    test(`${via}: the link is cut`, async () => {
      const proxy = await Proxy.to(server);
      const socket = await settled(proxy, { via });
      const { id } = socket;
      const told = disconnected(socket);
      proxy.refuse(); // a polling client that was between two polls must not come through either
      proxy.cut();
      assert.match((await told).reason, /^transport (close|error)$/);
      const { disconnects } = await server.disconnectOf(id);
      assert.equal(disconnects.length, 1);
      assert.match(disconnects[0].reason, /^(transport (close|error)|ping timeout)$/);
      await proxy.close();
    });

    test(`${via}: the link goes silent: ping timeout on both sides`, async () => {
      const proxy = await Proxy.to(server);
      const socket = await settled(proxy, { via });
      const { id } = socket;
      const told = disconnected(socket);
      proxy.stall();
      assert.equal((await told).reason, "ping timeout");
      assert.deepEqual((await server.disconnectOf(id)).disconnects, [{ reason: "ping timeout" }]);
      await proxy.close();
    });
  }

  test("disconnecting still sees the rooms, disconnect does not", async () => {
    const socket = await connect(server);
    const { id } = socket;
    await ask(socket, "join", "last seen here");
    socket.disconnect();
    const seen = await server.disconnectOf(id);
    assert.deepEqual(seen.rooms, [{ reason: "client namespace disconnect", rooms: ["last seen here", id].sort() }]);
    await server.statsWhen("no rooms", (s) => s.rooms === 0);
  });

  test("a heartbeat that is kept keeps the connection", async () => {
    const sockets = await Promise.all(TRANSPORTS.map((via) => settled(server, { via })));
    const lost = [];
    for (const socket of sockets) socket.on("disconnect", (reason) => lost.push(reason));
    const pings = sockets.map(async (socket) => {
      for (let i = 0; i < 6; i++) await next(socket.io, "ping");
    });
    await Promise.all(pings);
    assert.deepEqual(lost, []);
    assert.deepEqual(await Promise.all(sockets.map((socket) => ask(socket, "echo", 1))), [1, 1, 1]);
  });
});

describe("from outside the handlers", () => {
  const server = useServer();

  test("DisconnectSockets of a room", async () => {
    const [inside, outside] = [await connect(server), await connect(server)];
    await ask(inside, "join", "doomed");
    const told = disconnected(inside);
    await server.control("disconnectSockets", { rooms: ["doomed"], close: true });
    assert.equal((await told).reason, "io server disconnect");
    assert.equal(await ask(outside, "echo", 1), 1);
  });

  test("a client that the server has sent away does not come back by itself, one that was cut off does", async () => {
    const proxy = await Proxy.to(server);
    const options = { reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 20 };
    const sentAway = await connected(client(proxy, options));
    const cutOff = await connected(client(proxy, options));
    const told = disconnected(sentAway);
    sentAway.emit("bye", true);
    assert.equal((await told).reason, "io server disconnect");
    assert.equal(sentAway.active, false);
    const back = next(cutOff, "connect");
    proxy.cut();
    await back;
    assert.equal(sentAway.connected, false);
    await proxy.close();
  });
});
