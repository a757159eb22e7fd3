// The stock engine.io-client against an Engine.IO server that echoes every message.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { Socket } from "engine.io-client";
import { RawPolling } from "./lib/raw-http.mjs";
import { useServer } from "./lib/server.mjs";
import { collect, next, within } from "./lib/waiting.mjs";

const TRANSPORTS = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };

describe("engine.io-client", () => {
  const server = useServer({ suite: "echo", pingInterval: "300ms", pingTimeout: "3s" })
  const open = new Set();
  afterEach(() => {
    for (const socket of open) socket.close();
    open.clear();
  });

  async function connect(via) {
    const socket = new Socket(server.url, { transports: TRANSPORTS[via] });
    open.add(socket);
    socket.binaryType = "nodebuffer";
    await next(socket, "open");
    return socket;
  }

  for (const via of Object.keys(TRANSPORTS)) {
    test(`${via}: text and binary of all sizes come back as they went`, async () => {
      const socket = await connect(via);
      for (const text of ["", "x", "é€😀", ...(via === "websocket" ? ["\x1e"] : []), /* it parts the packets of a payload */ "b", "4", "\0", "x".repeat(70_000), "é".repeat(400_000)]) {
        const [echo] = await Promise.all([next(socket, "message"), socket.send(text)]);
        assert.ok((echo[0] ?? "") === text, `${text.length} characters`);
      }
      for (const size of [0, 1, 2, 3, 125, 126, 65_535, 65_536, 700_000]) {
        const bytes = Buffer.from(Array.from({ length: size }, (_, i) => i & 255));
        const [echo] = await Promise.all([next(socket, "message"), socket.send(bytes)]);
        assert.ok(Buffer.isBuffer(echo[0]) && bytes.equals(echo[0]), `${size} bytes`);
      }
    });

    test(`${via}: 3000 messages, text and binary mixed, come back in order`, async () => {
      const socket = await connect(via);
      const count = 3000;
      const echoes = collect(socket, "message", count, 60_000);
      for (let n = 0; n < count; n++) {
        socket.send(n % 3 ? String(n) : Buffer.from(String(n)));
        if (n % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
        if (via === "upgrade" && n === count / 2 && socket.transport.name === "polling") await next(socket, "upgrade");
      }
      const values = (await echoes).map((value, n) => {
        assert.equal(Buffer.isBuffer(value), n % 3 === 0);
        return Number(value.toString());
      });
      assert.deepEqual(values, Array.from({ length: count }, (_, n) => n));
    });

    test(`${via}: ten heartbeats keep it open`, async () => {
      const socket = await connect(via);
      const closes = [];
      socket.on("close", (reason) => closes.push(reason));
      for (let i = 0; i < 10; i++) await next(socket, "ping", 4000);
      assert.deepEqual(closes, []);
      const [echo] = await Promise.all([next(socket, "message"), socket.send("alive")]);
      assert.equal(echo[0], "alive");
    });

    test(`${via}: closed by the client, the session is unknown at once`, async () => {
      const socket = await connect(via);
      if (via === "upgrade" && socket.transport.name === "polling") await next(socket, "upgrade");
      const { id } = socket;
      const closed = next(socket, "close");
      socket.close();
      assert.equal((await closed)[0], "forced close");
      const polling = Object.assign(new RawPolling(), { server, url: `/engine.io/?EIO=4&transport=polling&sid=${id}` });
      const unknown = async () => JSON.parse((await polling.poll()).body).code === 1;
      while (!(await within(unknown(), "the session's end"))); // the close travels for a moment
    });
  }

  test("what is sent before the connection is open arrives after it, in order", async () => {
    for (const transports of Object.values(TRANSPORTS)) {
      const socket = new Socket(server.url, { transports });
      open.add(socket);
      const echoes = collect(socket, "message", 50);
      for (let n = 0; n < 50; n++) socket.send(String(n));
      assert.deepEqual(await echoes, Array.from({ length: 50 }, (_, n) => String(n)));
    }
  });

  test("a client that stops answering pings is closed", async () => {
    const socket = await connect("websocket");
    const closed = next(socket, "close");
    const { sendPacket, _sendPacket } = socket;
    const name = _sendPacket ? "_sendPacket" : "sendPacket";
    const send = (sendPacket ?? _sendPacket).bind(socket);
    socket[name] = (type, ...rest) => type !== "pong" && send(type, ...rest);
    assert.match((await closed)[0], /transport close|ping timeout/);
  });
});
