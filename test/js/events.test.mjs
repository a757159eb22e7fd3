// Events as such: binary both ways, volatile, catch-all listeners, the handshake's contents, compression.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ask, connect, settled, TRANSPORTS } from "./lib/clients.mjs";
import { useServer } from "./lib/server.mjs";
import { collect, next, within } from "./lib/waiting.mjs";

const bytes = (...values) => Buffer.from(values);
const ramp = (size, from) => Buffer.from(Array.from({ length: size }, (_, i) => (i + from) & 255));

describe("binary", () => {
  const server = useServer();

  for (const via of TRANSPORTS) {
    test(`${via}: from the client: Buffer, ArrayBuffer, typed arrays, nested, empty, ten attachments`, async () => {
      const socket = await settled(server, { via });
      assert.deepEqual(await ask(socket, "echo", bytes(1, 2, 3)), bytes(1, 2, 3));
      assert.deepEqual(await ask(socket, "echo", Uint8Array.of(4, 5).buffer), bytes(4, 5));
      assert.deepEqual(await ask(socket, "echo", Uint16Array.of(1)), bytes(1, 0));
      assert.deepEqual(await ask(socket, "echo", new Uint8Array([9, 8, 7, 6]).subarray(1, 3)), bytes(8, 7));
      assert.deepEqual(await ask(socket, "echo", bytes()), bytes());
      const nested = { a: [bytes(1), { b: bytes(2), c: "text", d: null }], e: bytes(3) };
      assert.deepEqual(await ask(socket, "echo", nested), nested);
      const ten = Array.from({ length: 10 }, (_, i) => ramp(100 * i, i));
      assert.deepEqual(await ask(socket, "echo", ten), ten);
    });

    test(`${via}: from a handler, anywhere in what it emits`, async () => {
      const socket = await settled(server, { via });
      const event = next(socket, "binary");
      assert.deepEqual(await ask(socket, "give binary", 300), ramp(300, 4));
      const [nested, last] = await event;
      assert.deepEqual(nested, { name: "nested", list: [ramp(300, 0), { deep: ramp(300, 1) }], bare: ramp(300, 2) });
      assert.deepEqual(last, ramp(300, 3));
    });

    test(`${via}: relayed to others unchanged`, async () => {
      const [from, to] = [await settled(server, { via }), await settled(server, { via })];
      await ask(to, "join", `relay ${via}`);
      const heard = next(to, "relayed");
      await ask(from, "publish", `relay ${via}`, "relayed", { deep: [bytes(1, 2)] }, "and", bytes(3));
      assert.deepEqual(await heard, [{ deep: [bytes(1, 2)] }, "and", bytes(3)]);
    });

    test(`${via}: events with and without attachments keep their order`, async () => {
      const socket = await settled(server, { via });
      const count = 400;
      const echoes = collect(socket, "echo", count);
      for (let n = 0; n < count; n++) socket.emit("echo", n % 3 ? n : { n, data: [bytes(n & 255), bytes(1)] });
      const order = (await echoes).map((value) => (typeof value === "number" ? value : value.n));
      assert.deepEqual(order, Array.from({ length: count }, (_, n) => n));
    });
  }

  test("what looks like a placeholder is data", async () => {
    const socket = await connect(server);
    const value = { _placeholder: false, num: 0 };
    assert.deepEqual(await ask(socket, "echo", value), value);
    assert.deepEqual(await ask(socket, "echo", { num: 3 }), { num: 3 });
  });
});

describe("volatile, catch-all, handshake", () => {
  const server = useServer();

  for (const via of TRANSPORTS) {
    test(`${via}: a volatile event arrives at a client that is ready, a reliable one always`, async () => {
      const socket = await settled(server, { via });
      const surely = next(socket, "surely");
      const volatile = [];
      socket.on("perhaps", (n) => volatile.push(n));
      socket.emit("volatile", 100);
      assert.deepEqual(await surely, [100]);
      assert.ok(volatile.length <= 100);
      assert.deepEqual(volatile, [...volatile].sort((a, b) => a - b), "what arrives is in order");
      if (via !== "polling") assert.ok(volatile.length > 0, "a websocket that is ready takes a volatile event");
    });

    test(`${via}: a client's volatile events are dropped only while it is away`, async () => {
      const socket = await settled(server, { via });
      await ask(socket, "echo", 1);
      socket.disconnect();
      socket.volatile.emit("note", "dropped");
      socket.emit("note", "kept");
      const back = next(socket, "connect");
      socket.connect();
      await back;
      await ask(socket, "echo", 1);
      assert.deepEqual((await server.socket(socket.id)).notes.notes, ["kept"]);
    });
  }

  test("catch-all listeners see every event, both ways", async () => {
    const socket = await connect(server, { nsp: "/catch-all" });
    const incoming = [];
    const outgoing = [];
    socket.onAny((event, ...args) => incoming.push([event, ...args]));
    socket.onAnyOutgoing((event) => outgoing.push(event));
    socket.emit("echo", 1);
    await next(socket, "echo");
    socket.emit("an event without a handler", 2);
    await server.control("emit", { nsp: "/catch-all", event: "broadcast", args: [3] });
    await ask(socket, "echo", 4);
    assert.deepEqual(incoming, [["echo", 1], ["broadcast", 3]]);
    assert.deepEqual(outgoing, ["echo", "an event without a handler", "echo"]);
    const { notes } = await server.socket(socket.id);
    assert.deepEqual(notes.incoming, ["echo", "an event without a handler", "echo"]);
    assert.deepEqual(notes.outgoing.filter((event) => event !== "broadcast"), ["echo"]);
  });

  test("an event that nobody handles does no harm", async () => {
    const socket = await connect(server);
    for (const event of ["nothing", "", "__proto__", "constructor", "toString", "a b c", "é😀", "x".repeat(10_000)]) {
      socket.emit(event, 1);
    }
    assert.equal(await ask(socket, "echo", 1), 1);
  });

  test("events may have numbers for names", async () => {
    const socket = await connect(server);
    socket.emit(7, "seven");
    assert.equal(await ask(socket, "echo", 1), 1);
  });

  for (const via of TRANSPORTS) {
    test(`${via}: query, headers, auth, address and id of the handshake`, async () => {
      const socket = await connect(server, {
        via,
        auth: { user: "ann", deep: { n: [1, null] } },
        query: { colour: "blue & green", empty: "" },
        extraHeaders: { "X-Colour": "red", "User-Agent": "the test" },
      });
      const h = await ask(socket, "handshake");
      assert.deepEqual(h.auth, { user: "ann", deep: { n: [1, null] } });
      assert.equal(h.query.colour, "blue & green");
      assert.equal(h.query.empty, "");
      assert.equal(h.query.EIO, "4");
      assert.equal(h.headers["x-colour"], "red");
      assert.equal(h.headers["user-agent"], "the test");
      assert.match(h.address, /127\.0\.0\.1/);
      assert.equal(h.secure, false);
      assert.match(h.url, /^\/socket\.io\/\?/);
      assert.equal(h.id, socket.id);
      assert.equal(h.recovered, false);
      assert.ok(Math.abs(h.issued - Date.now()) < 60_000);
    });
  }

  test("the transport that the server sees changes with the upgrade", async () => {
    const socket = await settled(server, { via: "upgrade" });
    assert.equal((await ask(socket, "handshake")).transport, "websocket");
    const polling = await connect(server, { via: "polling" });
    assert.equal((await ask(polling, "handshake")).transport, "polling");
  });

  test("ids are unlike each other and cannot be guessed from one another", async () => {
    const sockets = await Promise.all(Array.from({ length: 50 }, () => connect(server)));
    const ids = new Set(sockets.flatMap((socket) => [socket.id, socket.io.engine.id]));
    assert.equal(ids.size, 100, "the socket's id is not the session's");
    for (const id of ids) assert.match(id, /^[\w-]{15,}$/);
  });
});

describe("compression", () => {
  const server = useServer({ perMessageDeflate: true });
  const large = "lorem ipsum ".repeat(20_000);

  for (const via of TRANSPORTS) {
    test(`${via}: permessage-deflate or gzip on, large and small, both ways`, async () => {
      const socket = await settled(server, { via, perMessageDeflate: { threshold: 0 } });
      for (const text of [large, "small", ""]) assert.equal(await ask(socket, "echo", text), text);
      assert.deepEqual(await ask(socket, "echo", Buffer.from(large)), Buffer.from(large));
      for (const on of [true, false]) {
        const text = next(socket, "text");
        await ask(socket, "compress", on, large);
        assert.equal((await within(text, "the text"))[0], large);
      }
      if (via !== "polling") assert.match(socket.io.engine.transport.ws.extensions, /permessage-deflate/);
    });
  }

  test("a burst of compressed broadcasts arrives in order at compressing and plain clients", async () => {
    const sockets = [
      await connect(server, { perMessageDeflate: { threshold: 0 } }),
      await connect(server, { perMessageDeflate: false }),
      await connect(server, { via: "polling" }),
    ];
    const heard = sockets.map((socket) => collect(socket, "tick", 300));
    await server.control("emit", { event: "tick", times: 300, numbered: true, bytes: 2000 });
    for (const ticks of await Promise.all(heard)) assert.deepEqual(ticks, Array.from({ length: 300 }, (_, n) => n));
  });
});
