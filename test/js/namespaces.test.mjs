// Namespaces: static, by pattern, by function; several over one connection.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { io } from "socket.io-client";
import { ask, client, connect, connected, refused, settled, TRANSPORTS } from "./lib/clients.mjs";
import { isNode } from "./lib/env.mjs";
import { RawWebSocket } from "./lib/raw-websocket.mjs";
import { useServer } from "./lib/server.mjs";
import { next } from "./lib/waiting.mjs";

describe("namespaces", () => {
  const server = useServer();

  for (const via of TRANSPORTS) {
    test(`${via}: static, by pattern and by function`, async () => {
      for (const [nsp, auth] of [["/custom"], ["/dynamic-42"], ["/by-name-x", { open: true }]]) {
        const socket = await settled(server, { nsp, via, auth });
        assert.equal(await ask(socket, "echo", nsp), nsp);
        assert.deepEqual(await ask(socket, "echo", Buffer.from("b"), 1), Buffer.from("b"));
      }
    });

    test(`${via}: one that does not exist is refused`, async () => {
      for (const [nsp, auth] of [["/nowhere"], ["/dynamic-x"], ["/by-name-shut", {}]]) {
        const error = await refused(client(server, { nsp, via, auth }));
        assert.equal(error.message, "Invalid namespace", nsp);
      }
    });
  }

  test("middleware of a parent namespace guards its children", async () => {
    const error = await refused(client(server, { nsp: "/by-name-y", auth: { open: true, barred: true } }));
    assert.equal(error.message, "barred");
  });

  test("children of one parent are apart, and the parent reaches them all", async () => {
    const one = await connect(server, { nsp: "/dynamic-1" });
    const two = await connect(server, { nsp: "/dynamic-2" });
    const heard = [];
    one.on("news", (n) => heard.push(`one ${n}`));
    two.on("news", (n) => heard.push(`two ${n}`));
    await server.control("emit", { nsp: "/dynamic-1", event: "news", args: ["child"] });
    await server.control("emitToChildren", { event: "news", args: ["parent"] });
    await ask(one, "echo", 1);
    await ask(two, "echo", 1);
    assert.deepEqual(heard.sort(), ["one child", "one parent", "two parent"]);
  });

  test("several namespaces share one connection", async () => {
    await server.statsWhen("the clients of the tests before to be gone", (s) => s.sessions === 0);
    const main = await connect(server);
    const names = ["/custom", "/dynamic-7", "/slow"];
    const others = await Promise.all(names.map((nsp) => connected(main.io.socket(nsp))));
    assert.equal((await server.stats()).sessions, 1);
    assert.equal(new Set([main, ...others].map((s) => s.id)).size, 4, "each has an id of its own");
    assert.deepEqual(await Promise.all(others.map((s, i) => ask(s, "echo", i))), [0, 1, 2]);
    others[0].disconnect();
    assert.equal(await ask(main, "echo", 1), 1);
    assert.equal(await ask(others[1], "echo", 1), 1);
  });

  test("io() of the same address shares the connection, forceNew does not", async () => {
    await server.statsWhen("the clients of the tests before to be gone", (s) => s.sessions === 0);
    const options = { transports: ["websocket"], reconnection: false };
    const shared = [io(server.url, options), io(server.url + "/custom", options)];
    await Promise.all(shared.map((s) => connected(s)));
    assert.equal(shared[0].io, shared[1].io);
    assert.equal((await server.stats()).sessions, 1);
    const apart = io(server.url, { ...options, forceNew: true });
    await connected(apart);
    assert.equal((await server.stats()).sessions, 2);
    for (const socket of [...shared, apart]) socket.disconnect();
    await server.statsWhen("the connections to end", (s) => s.sessions === 0);
  });

  test("a namespace left can be joined again on the same connection, with a new id", async () => {
    const main = await connect(server);
    const other = await connected(main.io.socket("/custom"));
    const before = other.id;
    other.disconnect();
    if (isNode) await server.disconnectOf(before); // Socket.IO closes a connection whose CONNECT overtakes its DISCONNECT
    const again = next(other, "connect");
    other.connect();
    await again;
    assert.notEqual(other.id, before);
    assert.equal(await ask(other, "echo", 1), 1);
  });

  test("the same namespace asked for twice on one connection does not harm the rest", async () => {
    const bystander = await connect(server);
    const twice = await RawWebSocket.join(server);
    await twice.send("40");
    await twice.closed; // as Socket.IO does
    assert.equal((await server.disconnectOf(twice.id)).disconnects.length, 1);
    assert.equal(await ask(bystander, "echo", 1), 1);
  });

  test("a query in the namespace's address is the handshake's, not the namespace's", async () => {
    const socket = await connect(server, { nsp: "/custom?colour=blue" });
    assert.equal(socket.nsp, "/custom");
    assert.equal((await ask(socket, "handshake")).query.colour, "blue");
  });
});

describe("cleanup_empty_child_namespaces", () => {
  const server = useServer({ cleanupEmptyChildNamespaces: true });

  test("a child without sockets goes, a static namespace stays, and the child comes back when asked for", async () => {
    const { namespaceCount } = await server.stats();
    const socket = await connect(server, { nsp: "/dynamic-9" });
    const main = await connected(socket.io.socket("/custom"));
    assert.equal((await server.stats()).namespaceCount, namespaceCount + 1);
    socket.disconnect();
    await server.statsWhen("the child to go", (s) => s.namespaceCount === namespaceCount);
    main.disconnect();
    await server.statsWhen("the static one to be empty", (s) => s.namespaces["/custom"] === 0);
    const back = await connect(server, { nsp: "/dynamic-9" });
    assert.equal(await ask(back, "echo", 1), 1);
    assert.equal((await server.stats()).namespaceCount, namespaceCount + 1);
  });

  test("50 clients that come and go at once leave none behind, and none in a namespace that has gone", async () => {
    const { namespaceCount } = await server.statsWhen("the clients of the tests before to be gone", (s) => s.sockets === 0);
    await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        for (let round = 0; round < 5; round++) {
          const socket = await connect(server, { nsp: `/dynamic-${100 + (i % 3)}` });
          const heard = next(socket, "news");
          await server.control("emit", { nsp: socket.nsp, rooms: [socket.id], event: "news" });
          await heard;
          socket.disconnect();
        }
      }),
    );
    await server.statsWhen("the children to go", (s) => s.namespaceCount === namespaceCount);
  });
});
