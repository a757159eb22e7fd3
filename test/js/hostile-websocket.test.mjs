// Websocket frames that RFC 6455 forbids, and upgrades that go wrong.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { useBystander } from "./lib/bystander.mjs";
import { isNode } from "./lib/env.mjs";
import { RawConnection, RawPolling } from "./lib/raw-http.mjs";
import { frame, OP, RawWebSocket } from "./lib/raw-websocket.mjs";
import { useServer } from "./lib/server.mjs";

const MB = 1_000_000;
const PROTOCOL_ERROR = 1002;
const NOT_UTF8 = 1007;
const TOO_LARGE = 1009;

const close = (payload) => frame({ opcode: OP.close, payload: Buffer.from(payload) });
const text = (payload, more) => frame({ payload, ...more });

describe("frames", () => {
  const server = useServer({ maxPayload: MB, connectTimeout: "2s" });
  const bystander = useBystander(server);
  afterEach(() => bystander.unharmed());

  // [name, bytes, the code of the close frame that answers]
  const bad = [
    ["not masked", text("2", { mask: false }), PROTOCOL_ERROR],
    ["reserved bit 1 without an extension", text("x", { rsv: 4 }), PROTOCOL_ERROR],
    ["reserved bit 2", text("x", { rsv: 2 }), PROTOCOL_ERROR],
    ["reserved bit 3", text("x", { rsv: 1 }), PROTOCOL_ERROR],
    ["opcode 3", frame({ opcode: 3, payload: "x" }), PROTOCOL_ERROR],
    ["opcode 11", frame({ opcode: 11, payload: "" }), PROTOCOL_ERROR],
    ["a ping of 126 bytes", frame({ opcode: OP.ping, payload: "x".repeat(126) }), PROTOCOL_ERROR],
    ["a close of 126 bytes", close(Buffer.concat([Buffer.from([3, 232]), Buffer.alloc(124, "x")])), PROTOCOL_ERROR],
    ["a ping in fragments", frame({ opcode: OP.ping, fin: false, payload: "x" }), PROTOCOL_ERROR],
    ["a close in fragments", frame({ opcode: OP.close, fin: false, payload: "" }), PROTOCOL_ERROR],
    ["a continuation of nothing", frame({ opcode: OP.continuation, payload: "x" }), PROTOCOL_ERROR],
    ["a last continuation of nothing", frame({ opcode: OP.continuation, fin: true, payload: "" }), PROTOCOL_ERROR],
    ["a text within a fragmented text", Buffer.concat([text("4", { fin: false }), text("2")]), PROTOCOL_ERROR],
    ["a binary within a fragmented text", Buffer.concat([text("4", { fin: false }), frame({ opcode: OP.binary, payload: "" })]), PROTOCOL_ERROR],
    ["text that is no UTF-8", frame({ opcode: OP.text, payload: Buffer.from([0x34, 0xff, 0xfe]) }), NOT_UTF8],
    ["overlong UTF-8", frame({ opcode: OP.text, payload: Buffer.from([0x34, 0xc0, 0x80]) }), NOT_UTF8],
    ["a surrogate in UTF-8", frame({ opcode: OP.text, payload: Buffer.from([0x34, 0xed, 0xa0, 0x80]) }), NOT_UTF8],
    ["UTF-8 cut off at the end of the message", Buffer.concat([text(Buffer.from([0x34, 0xe2, 0x82]), { fin: false }), frame({ opcode: OP.continuation, payload: "" })]), NOT_UTF8],
    ["a close of one byte", close([3]), PROTOCOL_ERROR],
    ["a close with code 999", close([3, 231]), PROTOCOL_ERROR],
    ["a close with code 1005", close([3, 237]), PROTOCOL_ERROR],
    ["a close with code 1006", close([3, 238]), PROTOCOL_ERROR],
    ["a close with code 5000", close([0x13, 0x88]), [PROTOCOL_ERROR, null]], // the RFC leaves it open
    ["a close whose reason is no UTF-8", close([3, 232, 0xff, 0xff]), [NOT_UTF8, PROTOCOL_ERROR]],
    ["a header that claims 2^63 bytes", Buffer.concat([Buffer.from([0x81, 0xff]), Buffer.from("8000000000000000", "hex"), Buffer.alloc(4)]), [PROTOCOL_ERROR, TOO_LARGE]],
    ["a header that claims 2^53 bytes", Buffer.concat([Buffer.from([0x81, 0xff]), Buffer.from("0020000000000000", "hex"), Buffer.alloc(4)]), TOO_LARGE],
    ["a header that claims a byte above maxPayload, and nothing behind it", text("", { length: MB + 1 }).subarray(0, 14), TOO_LARGE],
    ["fragments that add up to more than maxPayload", Buffer.concat([text("4" + "x".repeat(600_000), { fin: false }), frame({ opcode: OP.continuation, payload: "x".repeat(600_000) })]), TOO_LARGE],
    ["a message above maxPayload", text("4" + "x".repeat(MB)), TOO_LARGE],
  ];
  for (const [name, bytes, code] of bad) {
    test(`${name}: close ${code}`, async () => {
      const ws = await RawWebSocket.join(server);
      await ws.write(bytes);
      const closed = await ws.closed;
      assert.ok([code].flat().includes(closed.code), `close ${closed.code}`);
      const { disconnects } = await server.disconnectOf(ws.id);
      assert.equal(disconnects.length, 1);
      assert.match(disconnects[0].reason, /^(transport (error|close)|parse error)$/);
    });
  }

  test("fragments with pings between them are one message, and the pings are answered", async () => {
    const ws = await RawWebSocket.join(server);
    const parts = ['420["ec', 'ho",', '"é😀"', "]"];
    for (const [i, payload] of parts.entries()) {
      await ws.write(frame({ opcode: i ? OP.continuation : OP.text, fin: i === parts.length - 1, payload }));
      await ws.write(frame({ opcode: OP.ping, payload: `ping ${i}` }));
    }
    const got = [];
    for (let i = 0; i <= parts.length; i++) {
      const { opcode, payload } = await ws.next();
      got.push(`${opcode} ${payload}`);
    }
    assert.deepEqual(got.filter((f) => f.startsWith("10")), parts.map((_, i) => `10 ping ${i}`));
    assert.deepEqual(got.filter((f) => f.startsWith("1 ")), ['1 430["é😀"]']);
    ws.destroy();
  });

  test("UTF-8 split over fragments is put together", async () => {
    const ws = await RawWebSocket.join(server);
    const whole = Buffer.from('420["echo","€"]');
    const at = whole.indexOf(0xe2) + 1;
    await ws.write(Buffer.concat([text(whole.subarray(0, at), { fin: false }), frame({ opcode: OP.continuation, payload: whole.subarray(at) })]));
    assert.equal(await ws.text(), '430["€"]');
    ws.destroy();
  });

  test("every byte of a message in a segment of its own", async () => {
    const ws = await RawWebSocket.join(server);
    for (const byte of text('420["echo",1]')) await ws.write(Buffer.from([byte]));
    assert.equal(await ws.text(), "430[1]");
    ws.destroy();
  });

  test("a hundred messages in one segment", async () => {
    const ws = await RawWebSocket.join(server);
    await ws.write(Buffer.concat(Array.from({ length: 100 }, (_, i) => text(`42${i}["echo",${i}]`))));
    for (let i = 0; i < 100; i++) assert.equal(await ws.text(), `43${i}[${i}]`);
    ws.destroy();
  });

  test("100,000 empty fragments", async () => {
    const ws = await RawWebSocket.join(server);
    const empty = Buffer.concat(Array.from({ length: 1000 }, () => frame({ opcode: OP.continuation, fin: false, payload: "" })));
    await ws.write(text('420["echo",1]', { fin: false }));
    for (let i = 0; i < 100 && !ws.isClosed; i++) await ws.write(empty);
    await ws.write(frame({ opcode: OP.continuation, payload: "" }));
    const answer = await ws.text().catch((error) => error.message);
    assert.match(answer, /^430\[1\]$|^closed/);
    ws.destroy();
  });

  test("a flood of pings from a client that does not read the pongs", async () => {
    const ws = await RawWebSocket.join(server);
    ws.socket.pause();
    const flood = Buffer.concat(Array.from({ length: 500 }, () => frame({ opcode: OP.ping, payload: "x".repeat(125) })));
    for (let i = 0; i < 200 && !ws.isClosed; i++) ws.write(flood); // 13 MB
    const { heapBytes } = await server.stats();
    assert.ok(heapBytes < 64 * MB, `holds ${heapBytes} bytes`);
    await bystander.echo();
    ws.destroy();
  });

  test("what follows a close frame is not looked at", async () => {
    const ws = await RawWebSocket.join(server);
    await ws.write(Buffer.concat([close([3, 232]), text('42["note","after the close"]')]));
    const { code } = await ws.closed;
    assert.ok(code === 1000 || code === null, `close ${code}`);
    assert.equal((await server.disconnectOf(ws.id)).notes.notes, undefined);
  });

  test("Engine.IO packets of no type, a wrong one, or for the other side", async () => {
    for (const packet of ["", "7", "9hello", "x", "0{}", "5", "6", "2probe", "3", "1"]) {
      const ws = await RawWebSocket.join(server);
      await ws.send(packet);
      await ws.send('420["echo",1]');
      const outcome = await ws.text().catch((error) => error.message);
      assert.match(outcome, /^430\[1\]$|^closed|^2probe$|^3probe$/, JSON.stringify(packet));
      ws.destroy();
    }
  });
});

describe("frames with permessage-deflate", () => {
  const server = useServer({ perMessageDeflate: true, maxPayload: MB, connectTimeout: "2s" });
  const bystander = useBystander(server);
  afterEach(() => bystander.unharmed());
  const headers = { "Sec-WebSocket-Extensions": "permessage-deflate; client_no_context_takeover; server_no_context_takeover" };

  test("compressed data that is none: the connection ends", async () => {
    const ws = await RawWebSocket.join(server, { headers });
    await ws.write(frame({ rsv: 4, payload: Buffer.from([0xff, 0xff, 0xff, 0xff]) }));
    const { code } = await ws.closed;
    assert.ok([1002, 1007].includes(code), `close ${code}`);
  });

  test("a bomb: a kilobyte that expands to a hundred megabytes ends the connection with 1009", async () => {
    const { deflateRawSync } = await import("node:zlib");
    const bomb = deflateRawSync(Buffer.alloc(100 * MB, "4"), { level: 9 });
    const ws = await RawWebSocket.join(server, { headers });
    await ws.write(frame({ rsv: 4, payload: bomb }));
    const { code } = await ws.closed;
    assert.equal(code, TOO_LARGE);
    const { heapBytes } = await server.stats();
    assert.ok(heapBytes < 64 * MB, `holds ${heapBytes} bytes`);
  });

  test("compressed control frames and continuations with the bit set", async () => {
    for (const bytes of [
      frame({ opcode: OP.ping, rsv: 4, payload: "x" }),
      Buffer.concat([text("4", { fin: false }), frame({ opcode: OP.continuation, rsv: 4, payload: "x" })]),
    ]) {
      const ws = await RawWebSocket.join(server, { headers });
      await ws.write(bytes);
      assert.equal((await ws.closed).code, PROTOCOL_ERROR);
    }
  });

  test("offers that make no sense are not accepted", async () => {
    for (const offer of ["permessage-deflate; server_max_window_bits=7", "permessage-deflate; nonsense=1", "permessage-deflate; client_max_window_bits=99", "x".repeat(4000), "permessage-bzip2"]) {
      const ws = await RawWebSocket.join(server, { headers: { "Sec-WebSocket-Extensions": offer } }).catch((error) => error);
      if (ws instanceof Error) {
        assert.equal(ws.response?.status, 400, offer);
        continue;
      }
      assert.equal((await ws.upgraded).headers["sec-websocket-extensions"], undefined, offer);
      ws.destroy();
    }
  });
});

describe("handshakes and upgrades gone wrong", () => {
  const server = useServer({ upgradeTimeout: "400ms", connectTimeout: "5s", pingInterval: "2s", pingTimeout: "5s" });
  const bystander = useBystander(server);
  afterEach(() => bystander.unharmed());
  const path = "/socket.io/?EIO=4&transport=websocket";

  for (const [name, change] of [
    ["without a key", { "Sec-WebSocket-Key": null }],
    ["with a key that is too short", { "Sec-WebSocket-Key": "c2hvcnQ=" }],
    ["with another version", { "Sec-WebSocket-Version": "7" }],
    ["without a version", { "Sec-WebSocket-Version": null }],
    ["to something else", { Upgrade: "h2c" }],
  ]) {
    test(`a handshake ${name} is refused`, async () => {
      const error = await new RawWebSocket(server.port, path, change).upgraded.catch((e) => e);
      assert.ok(error instanceof Error, "was let in");
      if (error.response) assert.ok(error.response.status >= 400, String(error.response.status));
    });
  }

  test("a handshake by POST is refused", async () => {
    const connection = new RawConnection(server);
    await connection.request("POST", path, {
      headers: { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": 13, "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Content-Length": 0 },
    });
    const response = await connection.response().catch(() => null);
    assert.ok(response === null || response.status >= 400, String(response?.status));
    connection.destroy();
  });

  test("an upgrade for an unknown session is refused", async () => {
    const error = await new RawWebSocket(server.port, `${path}&sid=nobody`).upgraded.catch((e) => e);
    assert.ok(error instanceof Error, "was let in");
  });

  test("a websocket of protocol 3 is refused", async () => {
    const ws = new RawWebSocket(server.port, path.replace("EIO=4", "EIO=3"));
    const outcome = await ws.upgraded.then(() => ws.closed, (error) => error);
    if (outcome instanceof Error) assert.equal(outcome.response.status, 400);
  });

  // A session that polls, and a websocket that was let in for it.
  async function probing() {
    const polling = await RawPolling.join(server);
    const ws = await RawWebSocket.open(server, { sid: polling.opened.sid });
    return { polling, ws };
  }

  async function stillPolls(polling) {
    await polling.post('429["echo","by polling"]');
    for (;;) {
      const packets = (await polling.packets()).filter((packet) => packet !== "6");
      if (packets.length === 0) continue;
      assert.deepEqual(packets, ['439["by polling"]']);
      break;
    }
    await polling.post("1");
  }

  for (const [name, messages] of [
    ["a wrong probe", ["2wrong"]],
    ["a pong for a probe", ["3probe"]],
    ["a message before the probe", ['42["note","too early"]']],
    ["garbage", ["x"]],
    ["binary", [Buffer.from([1])]],
  ]) {
    test(`${name}: the websocket is closed, the session goes on by polling`, async () => {
      const { polling, ws } = await probing();
      for (const message of messages) await ws.send(message);
      await ws.closed;
      await stillPolls(polling);
    });
  }

  test("the upgrade without a probe: taken as Socket.IO takes it, or refused; the session lives either way", async () => {
    const { polling, ws } = await probing();
    await ws.send("5");
    await ws.send('421["echo","upgraded"]');
    const answer = await ws.text().catch(() => null);
    if (answer === null) return stillPolls(polling);
    assert.equal(answer, '431["upgraded"]');
    ws.destroy();
  });

  test("a probe that is never followed up times out, the session goes on by polling", async () => {
    const { polling, ws } = await probing();
    await ws.send("2probe");
    assert.equal(await ws.text(), "3probe");
    await ws.closed;
    await stillPolls(polling);
  });

  test("a websocket that says nothing times out, the session goes on by polling", async () => {
    const { polling, ws } = await probing();
    await ws.closed;
    await stillPolls(polling);
  });

  test("a websocket that is cut after its probe: the session goes on by polling", async () => {
    const { polling, ws } = await probing();
    await ws.send("2probe");
    await ws.text();
    ws.reset();
    await stillPolls(polling);
  });

  test("two probes at once: one wins, the other is closed", async () => {
    const { polling, ws } = await probing();
    await ws.send("2probe");
    assert.equal(await ws.text(), "3probe");
    const second = await RawWebSocket.open(server, { sid: polling.opened.sid }).catch((error) => error);
    if (second instanceof RawWebSocket) {
      await second.send("2probe");
      await second.closed;
    }
    await ws.send("5");
    await ws.send('421["echo","upgraded"]');
    assert.equal(await ws.text(), '431["upgraded"]');
    ws.destroy();
  });

  test("a websocket for a session that is one already", async () => {
    const ws = await RawWebSocket.join(server);
    const second = await RawWebSocket.open(server, { sid: ws.opened.sid }).catch((error) => error);
    if (second instanceof RawWebSocket) {
      await second.send("2probe");
      await second.closed;
    }
    await ws.send('421["echo","still"]');
    assert.equal(await ws.text(), '431["still"]');
    ws.destroy();
  });

  test("events during an upgrade, by both transports, come once each and in order", async () => {
    for (let round = 0; round < 20; round++) {
      const { polling, ws } = await probing();
      await polling.post('42["numbered",0]\x1e42["numbered",1]');
      const poll = polling.packets(); // the server ends it with a noop once the probe is there
      await ws.send("2probe");
      assert.equal(await ws.text(), "3probe");
      await polling.post('42["numbered",2]');
      assert.deepEqual(await poll, ["6"]);
      await ws.write(Buffer.concat([text("5"), text('42["numbered",3]'), text('425["numbers"]')]));
      const answer = await ws.text();
      const { count, disorder } = JSON.parse(answer.slice(3))[0];
      assert.deepEqual({ count, disorder }, { count: 4, disorder: 0 });
      ws.destroy();
    }
  });

  test("a session that ends while it upgrades takes the websocket with it", async () => {
    const { polling, ws } = await probing();
    await ws.send("2probe");
    await ws.text();
    await polling.post("1");
    await ws.closed;
    if (!isNode) assert.equal((await server.disconnectOf(polling.id)).disconnects.length, 1);
  });
});
