// The stock client's reconnection against links that break and a server that goes away.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ask, client, connect, connected, disconnected, settled, TRANSPORTS, upgraded } from "./lib/clients.mjs";
import { Proxy } from "./lib/proxy.mjs";
import { Server, useServer } from "./lib/server.mjs";
import { next, within } from "./lib/waiting.mjs";

const quickly = { reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 50, timeout: 2000 };

describe("a link that breaks", () => {
  const server = useServer({ pingInterval: "1s", pingTimeout: "3s", connectTimeout: "1s" });

  for (const via of TRANSPORTS) {
    test(`${via}: the client comes back as another socket, and what it buffered arrives in order`, async () => {
      const proxy = await Proxy.to(server);
      const socket = await settled(proxy, { via, ...quickly });
      const before = socket.id;
      const gone = disconnected(socket);
      proxy.refuse();
      proxy.cut();
      await gone;
      for (let n = 0; n < 50; n++) socket.emit("numbered", n);
      assert.equal(socket.sendBuffer.length, 50);
      const back = next(socket, "connect");
      proxy.heal();
      await back;
      assert.notEqual(socket.id, before);
      const numbers = await ask(socket, "numbers");
      assert.deepEqual({ count: numbers.count, disorder: numbers.disorder }, { count: 50, disorder: 0 });
      assert.equal((await server.disconnectOf(before)).disconnects.length, 1);
      socket.disconnect();
      await proxy.close();
    });

    test(`${via}: twenty cuts in a row leave one socket and no ghost`, async () => {
      await server.statsWhen("the clients of the tests before to be gone", (s) => s.sessions === 0);
      await server.forget();
      const proxy = await Proxy.to(server);
      const socket = await connected(client(proxy, { via, ...quickly }));
      for (let i = 0; i < 20; i++) {
        const back = next(socket, "connect");
        proxy.refuse();
        proxy.cut();
        await within(new Promise((resolve) => (socket.connected ? socket.once("disconnect", resolve) : resolve())), "the loss");
        proxy.heal();
        await back;
      }
      assert.equal(await ask(socket, "echo", 1), 1);
      const stats = await server.statsWhen("the old ones to go", (s) => s.namespaces["/"] === 1 && s.sessions === 1);
      assert.deepEqual({ doubles: stats.doubles, orphans: stats.orphans, rooms: stats.rooms }, { doubles: 0, orphans: 0, rooms: 0 });
      assert.equal(stats.disconnects, stats.connects - 1);
      socket.disconnect();
      await proxy.close();
    });
  }

  test("a websocket that never gets through leaves the client on polling", async () => {
    const proxy = await Proxy.to(server);
    proxy.pollingOnly = true;
    const socket = client(proxy, { via: "upgrade" });
    const failed = next(socket.io.engine, "upgradeError");
    await connected(socket);
    await failed;
    assert.equal(await ask(socket, "echo", 1), 1);
    assert.equal(socket.io.engine.transport.name, "polling");
    socket.disconnect();
    await proxy.close();
  });
});

describe("a server that goes away", () => {
  test("orderly: clients are told, come back when it is back, and nothing is left behind", async () => {
    const server = await new Server().start();
    const sockets = await Promise.all(TRANSPORTS.map((via) => settled(server, { via, ...quickly })));
    const gone = Promise.all(sockets.map((socket) => disconnected(socket)));
    await server.stop();
    for (const { reason } of await gone) assert.match(reason, /^transport (close|error)$|^io server disconnect$/);
    const back = Promise.all(sockets.map((socket) => (socket.active ? next(socket, "connect") : connected(socket.connect()))));
    await server.start({ listen: `127.0.0.1:${server.port}` });
    await back;
    assert.deepEqual(await Promise.all(sockets.map((socket) => ask(socket, "echo", 1))), [1, 1, 1]);
    for (const socket of sockets) socket.disconnect();
    await server.statsWhen("no session", (s) => s.sessions === 0);
    await server.stop();
  });

  test("killed: clients come back by themselves when it is back", async () => {
    const server = await new Server().start();
    const sockets = await Promise.all(TRANSPORTS.map((via) => settled(server, { via, ...quickly })));
    const gone = Promise.all(sockets.map((socket) => disconnected(socket)));
    await server.kill();
    await gone;
    const back = Promise.all(sockets.map((socket) => next(socket, "connect", 30_000)));
    await server.start({ listen: `127.0.0.1:${server.port}` });
    await back;
    assert.deepEqual(await Promise.all(sockets.map((socket) => ask(socket, "echo", 1))), [1, 1, 1]);
    for (const socket of sockets) socket.disconnect();
    await server.stop();
  });

  test("stopped under load: it ends in time and without a crash", async () => {
    const server = await new Server().start();
    const sockets = await Promise.all(Array.from({ length: 30 }, (_, i) => connect(server, { via: TRANSPORTS[i % 3] })));
    let running = true;
    const load = sockets.map(async (socket) => {
      socket.on("disconnect", () => (running = false));
      while (running) await within(socket.emitWithAck("echo", "x".repeat(500)), "an ack").catch(() => {});
    });
    await ask(sockets[0], "echo", 1);
    await server.stop({ ms: 20_000 });
    for (const socket of sockets) socket.disconnect();
    running = false;
    await Promise.all(load);
  });
});

describe("transports", () => {
  describe("polling only", () => {
    const server = useServer({ transports: "polling" });

    test("no upgrade is offered, and a websocket is refused", async () => {
      const socket = await connect(server, { via: "upgrade" });
      assert.equal(await ask(socket, "echo", 1), 1);
      assert.equal(socket.io.engine.transport.name, "polling");
      await assert.rejects(connect(server, { via: "websocket" }), /websocket error/);
    });
  });

  describe("websocket only", () => {
    const server = useServer({ transports: "websocket" });

    test("polling is refused; tryAllTransports finds the websocket", async () => {
      await assert.rejects(connect(server, { via: "polling" }), /xhr poll error/);
      const socket = await connect(server, { transports: ["polling", "websocket"], tryAllTransports: true });
      assert.equal(socket.io.engine.transport.name, "websocket");
    });
  });

  describe("upgrades not allowed", () => {
    const server = useServer({ allowUpgrades: false });

    test("both transports work, none turns into the other", async () => {
      const socket = await connect(server, { via: "upgrade" });
      assert.equal(await ask(socket, "echo", 1), 1);
      assert.equal(socket.io.engine.transport.name, "polling");
      assert.equal((await connect(server)).io.engine.transport.name, "websocket");
    });
  });

  describe("rememberUpgrade", () => {
    const server = useServer();

    test("the second connection starts with the websocket", async () => {
      const socket = await upgraded(await connect(server, { via: "upgrade", rememberUpgrade: true }));
      socket.disconnect();
      const back = next(socket, "connect");
      socket.connect();
      await back;
      assert.equal(socket.io.engine.transport.name, "websocket");
      assert.equal((await ask(socket, "handshake")).query.transport, "websocket");
    });
  });

  describe("another path", () => {
    const server = useServer({ path: "/realtime/" });

    for (const via of TRANSPORTS) {
      test(`${via}: works there and nowhere else`, async () => {
        const socket = await settled(server, { via, path: "/realtime/" });
        assert.equal(await ask(socket, "echo", 1), 1);
      });
    }
  });
});
