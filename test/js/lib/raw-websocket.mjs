// A websocket by hand: every bit of every frame is the test's to choose.

import crypto from "node:crypto";
import net from "node:net";
import { reset } from "./reset.mjs";
import { deferred, within } from "./waiting.mjs";

export const OP = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

/** One frame as bytes. `length` overrides the length that the header claims. */
export function frame({ fin = true, rsv = 0, opcode = OP.text, mask = true, payload = "", length } = {}) {
  const body = Buffer.isBuffer(payload) ? payload : Buffer.from(payload);
  const size = length ?? body.length;
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const masked = mask ? 0x80 : 0;
  let extended = Buffer.alloc(0);
  if (size < 126) head.push(masked | size);
  else if (size < 65536) {
    head.push(masked | 126);
    extended = Buffer.alloc(2);
    extended.writeUInt16BE(size);
  } else {
    head.push(masked | 127);
    extended = Buffer.alloc(8);
    extended.writeBigUInt64BE(BigInt(size));
  }
  if (!mask) return Buffer.concat([Buffer.from(head), extended, body]);
  const key = crypto.randomBytes(4);
  const hidden = Buffer.from(body);
  for (let i = 0; i < hidden.length; i++) hidden[i] ^= key[i & 3];
  return Buffer.concat([Buffer.from(head), extended, key, hidden]);
}

export class RawWebSocket {
  #incoming = Buffer.alloc(0);
  #frames = [];
  #readers = [];
  #handshake = deferred();
  #closed = deferred();
  #code = null;

  constructor(port, path, headers = {}) {
    this.socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
    this.socket.on("error", () => {}); // "close" follows
    this.socket.on("close", (hadError) => {
      this.#closed.resolve({ code: this.#code, error: hadError });
      this.#handshake.reject(new Error("closed during the handshake"));
      for (const reader of this.#readers) reader.reject(new Error(`closed (code ${this.#code})`));
    });
    this.socket.on("data", (chunk) => this.#read(chunk));
    const lines = {
      Host: `127.0.0.1:${port}`,
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": crypto.randomBytes(16).toString("base64"),
      ...headers,
    };
    const text = Object.entries(lines).filter(([, value]) => value !== null).map(([name, value]) => `${name}: ${value}\r\n`);
    this.socket.write(`GET ${path} HTTP/1.1\r\n${text.join("")}\r\n`);
  }

  /** An Engine.IO session over websocket; its open packet is in `opened`. `sid` makes it an upgrade, without one. */
  static async open(server, { sid, path = "/socket.io/", query = "", headers } = {}) {
    const id = sid === undefined ? "" : `&sid=${sid}`;
    const ws = new RawWebSocket(server.port, `${path}?EIO=4&transport=websocket${id}${query}`, headers);
    await ws.upgraded;
    if (sid === undefined) ws.opened = JSON.parse((await ws.text()).slice(1));
    return ws;
  }

  /** A session that has joined the namespace; `id` is the Socket.IO id. */
  static async join(server, { nsp = "/", auth, ...options } = {}) {
    const ws = await RawWebSocket.open(server, options);
    const prefix = nsp === "/" ? "" : nsp + ",";
    ws.send(`40${prefix}${auth === undefined ? "" : JSON.stringify(auth)}`);
    const answer = await ws.text();
    if (!answer.startsWith(`40${prefix}`)) throw new Error(`not let in: ${answer}`);
    ws.id = JSON.parse(answer.slice(2 + prefix.length)).sid;
    return ws;
  }

  /** Resolves with the response's { status, headers } once it is 101; rejects for any other. */
  get upgraded() {
    return within(this.#handshake.promise, "the websocket handshake");
  }

  /** Resolves with { code, error } once the TCP connection is gone; code is the close frame's, null without one. */
  get closed() {
    return within(this.#closed.promise, "the server to close the websocket", 30_000);
  }

  get isClosed() {
    return this.socket.destroyed;
  }

  send(payload) {
    return this.write(frame({ opcode: typeof payload === "string" ? OP.text : OP.binary, payload }));
  }

  /** Bytes as they are; resolves once the kernel has them. */
  write(bytes) {
    return new Promise((resolve) => this.socket.write(bytes, () => resolve()));
  }

  /** The next frame that is no Engine.IO ping: { opcode, fin, rsv, payload }. */
  async next(ms) {
    for (;;) {
      const got = this.#frames.length ? this.#frames.shift() : await this.#wait(ms);
      if (got.opcode === OP.text && got.payload.toString() === "2") {
        this.send("3");
        continue;
      }
      return got;
    }
  }

  /** The next text message. */
  async text(ms) {
    const got = await this.next(ms);
    if (got.opcode !== OP.text) throw new Error(`frame ${got.opcode}: ${got.payload.subarray(0, 100).toString("latin1")}`);
    return got.payload.toString();
  }

  /** Ends the connection with a TCP reset. */
  reset() {
    reset(this.socket);
  }

  destroy() {
    this.socket.destroy();
  }

  #wait(ms) {
    const reader = deferred();
    this.#readers.push(reader);
    if (this.socket.destroyed) reader.reject(new Error(`closed (code ${this.#code})`));
    return within(reader.promise, "a frame", ms).finally(() => {
      const i = this.#readers.indexOf(reader);
      if (i >= 0) this.#readers.splice(i, 1);
    });
  }

  #read(chunk) {
    this.#incoming = Buffer.concat([this.#incoming, chunk]);
    if (!this.response) {
      const end = this.#incoming.indexOf("\r\n\r\n");
      if (end < 0) return;
      const [status, ...lines] = this.#incoming.subarray(0, end).toString("latin1").split("\r\n");
      this.response = {
        status: Number(status.split(" ")[1]),
        headers: Object.fromEntries(lines.map((l) => [l.slice(0, l.indexOf(":")).toLowerCase(), l.slice(l.indexOf(":") + 1).trim()])),
      };
      this.#incoming = this.#incoming.subarray(end + 4);
      if (this.response.status !== 101) {
        this.response.body = this.#incoming.toString();
        const error = Object.assign(new Error(`status ${this.response.status}`), { response: this.response });
        this.#handshake.reject(error);
        return;
      }
      this.#handshake.resolve(this.response);
    }
    if (this.response.status !== 101) return;
    while (this.#frame());
  }

  #frame() {
    const data = this.#incoming;
    if (data.length < 2) return false;
    let size = data[1] & 0x7f;
    let at = 2;
    if (size === 126) {
      if (data.length < 4) return false;
      size = data.readUInt16BE(2);
      at = 4;
    } else if (size === 127) {
      if (data.length < 10) return false;
      size = Number(data.readBigUInt64BE(2));
      at = 10;
    }
    if (data.length < at + size) return false;
    const got = { fin: (data[0] & 0x80) !== 0, rsv: (data[0] >> 4) & 7, opcode: data[0] & 15, masked: (data[1] & 0x80) !== 0, payload: data.subarray(at, at + size) };
    this.#incoming = data.subarray(at + size);
    if (got.opcode === OP.close && got.payload.length >= 2) this.#code = got.payload.readUInt16BE(0);
    if (got.opcode === OP.close) this.socket.end(frame({ opcode: OP.close, payload: got.payload }));
    else if (this.#readers.length) this.#readers.shift().resolve(got);
    else this.#frames.push(got);
    return true;
  }
}
