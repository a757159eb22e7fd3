// The way in: the first event, authentication, middleware, refusals, the connect timeout.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ask, client, connect, connected, disconnected, refused, settled, TRANSPORTS } from "./lib/clients.mjs";
import { holdfastOnly } from "./lib/env.mjs";
import { RawWebSocket } from "./lib/raw-websocket.mjs";
import { useServer } from "./lib/server.mjs";
import { collect, parallel, within } from "./lib/waiting.mjs";

describe("the first event", () => {
  const server = useServer();

  for (const via of TRANSPORTS) {
    test(`${via}: sent on connect while the connection handler takes 50 ms: handled, 300 of 300`, async () => {
      let ready = 0;
      await parallel(300, 50, async () => {
        const socket = client(server, { nsp: "/slow", via });
        const answer = new Promise((resolve, reject) => {
          socket.on("connect_error", reject);
          socket.on("connect", () => socket.emit("ready", resolve));
        });
        if (await within(answer, "the answer to the first event")) ready++;
        socket.disconnect();
      });
      assert.equal(ready, 300, "handled after the connection handler had returned");
    });

    test(`${via}: events emitted before the connection is there are sent once it is, in order`, async () => {
      const socket = client(server, { nsp: "/slow", via });
      for (let n = 0; n < 100; n++) socket.emit("numbered", n);
      const numbers = await ask(socket, "numbers");
      assert.deepEqual({ count: numbers.count, disorder: numbers.disorder }, { count: 100, disorder: 0 });
    });

    test(`${via}: what the connection handler emits comes first, in order`, async () => {
      const socket = client(server, { nsp: "/greeting", via });
      assert.deepEqual(await collect(socket, "hello", 3), [1, 2, 3]);
      assert.deepEqual(await ask(socket, "rooms"), ["greeted", socket.id].sort());
    });
  }
});

describe("authentication and middleware", () => {
  const server = useServer();

  test("auth reaches the middleware, as an object and as a function", async () => {
    await connect(server, { nsp: "/auth", auth: { token: "secret" } });
    const socket = await connect(server, { nsp: "/auth", auth: (give) => give({ token: "secret", n: 1 }) });
    assert.deepEqual((await ask(socket, "handshake")).auth, { token: "secret", n: 1 });
  });

  for (const via of TRANSPORTS) {
    test(`${via}: a refusal arrives as connect_error with message and data`, async () => {
      const error = await refused(client(server, { nsp: "/auth", via, auth: { token: "wrong" } }));
      assert.ok(error instanceof Error);
      assert.equal(error.message, "not authorized");
      assert.deepEqual(error.data, { code: "E_AUTH", retryAfter: 3 });
    });
  }

  test("a refused client can mend its auth and come in on the same connection", async () => {
    const socket = client(server, { nsp: "/auth", auth: { token: "wrong" } });
    await refused(socket);
    assert.equal(socket.active, false, "a refusal is final until the client asks again");
    socket.auth = { token: "secret" };
    socket.connect();
    await connected(socket);
    assert.equal(await ask(socket, "echo", "in"), "in");
  });

  test("a refusal leaves the other namespaces of the connection alone", async () => {
    const main = await connect(server);
    const other = main.io.socket("/auth", { auth: { token: "wrong" } });
    await refused(other);
    assert.equal(await ask(main, "echo", 1), 1);
  });

  test("middlewares run one after another, in order, and leave their data", async () => {
    const socket = await connect(server, { nsp: "/chain" });
    assert.deepEqual(await ask(socket, "data"), { chain: ["first", "second", "third"] });
  });

  test("a middleware that refuses ends the chain", async () => {
    const error = await refused(client(server, { nsp: "/chain", auth: { stopAt: "second" } }));
    assert.equal(error.message, "stopped at second");
  });

  test("a refused client was never connected", async () => {
    await server.forget();
    await refused(client(server, { nsp: "/auth" }));
    const { connects, disconnects, namespaces } = await server.stats();
    assert.deepEqual({ connects, disconnects }, { connects: 0, disconnects: 0 });
    assert.equal(namespaces["/auth"], 0);
  });

  test("packet middleware sees every event and may refuse one", async () => {
    const socket = await connect(server, { nsp: "/filtered" });
    assert.equal(await ask(socket, "echo", "through"), "through");
    assert.deepEqual(await ask(socket, "forbidden", 1), { error: { code: "forbidden", message: "not that event" } });
    assert.deepEqual((await server.socket(socket.id)).notes.refused, ["forbidden"]);
  });
});

describe("turned away by the connection handler", () => {
  const server = useServer();

  for (const via of TRANSPORTS) {
    test(`${via}: Disconnect(false) and Disconnect(true) in the connection handler`, async () => {
      for (const nsp of ["/turned-away", "/thrown-out"]) {
        const socket = client(server, { nsp, via });
        let id;
        socket.once("connect", () => (id = socket.id));
        const { reason } = await disconnected(socket);
        assert.equal(reason, "io server disconnect", nsp);
        const seen = await server.disconnectOf(id);
        assert.deepEqual(seen.disconnects, [{ reason: "server namespace disconnect" }], nsp);
      }
    });
  }

  test("an error of the connection handler disconnects the socket", holdfastOnly("handlers return errors"), async () => {
    const socket = client(server, { nsp: "/broken" });
    const gone = disconnected(socket);
    assert.equal((await gone).reason, "io server disconnect");
    await server.statsWhen("the socket to be gone", (s) => s.namespaces["/broken"] === 0);
  });
});

describe("the connect timeout", () => {
  const server = useServer({ connectTimeout: "300ms" });

  test("a connection that joins no namespace is closed", async () => {
    const idle = await RawWebSocket.open(server);
    const bystander = await connect(server);
    await idle.closed;
    assert.equal(await ask(bystander, "echo", "still here"), "still here");
    await server.statsWhen("one session", (s) => s.sessions === 1);
  });

  test("a connection that was refused everywhere is closed", async () => {
    const refusedOne = await RawWebSocket.open(server);
    refusedOne.send("40/auth,");
    assert.match(await refusedOne.text(), /^44\/auth,/);
    await refusedOne.closed;
  });

  test("a connection handler that outlasts the timeout keeps its socket", async () => {
    const socket = await settled(server, { nsp: "/slow" });
    assert.equal(await ask(socket, "echo", 1), 1);
  });
});
