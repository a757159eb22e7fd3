// HTTP by hand, one connection a request unless told otherwise, so that a test can send what no client library would.

import net from "node:net";
import { reset } from "./reset.mjs";
import { deferred, within } from "./waiting.mjs";

const CRLF = "\r\n";

/** One TCP connection on which a test writes what it likes; `response()` parses whatever comes back. */
export class RawConnection {
  #incoming = Buffer.alloc(0);
  #responses = [];
  #readers = [];
  #closed = deferred();

  constructor(server) {
    this.socket = net.connect({ port: server.port, host: "127.0.0.1", noDelay: true });
    this.socket.on("error", (error) => (this.error = error));
    this.socket.on("data", (chunk) => {
      this.#incoming = Buffer.concat([this.#incoming, chunk]);
      this.#parse(false);
    });
    this.socket.on("close", () => {
      this.#parse(true);
      this.#closed.resolve();
      for (const reader of this.#readers.splice(0)) reader.reject(this.error ?? new Error("closed without an answer"));
    });
  }

  /** Resolves when the server, or the test, has closed the connection. */
  get closed() {
    return this.#closed.promise;
  }

  /** Resolves true once the bytes are with the kernel, false when the connection is gone. */
  write(bytes) {
    return new Promise((resolve) => {
      if (this.socket.destroyed) return resolve(false);
      this.socket.write(bytes, (error) => resolve(!error));
      this.closed.then(() => resolve(false));
    });
  }

  /** Writes a request: headers get Host, and Content-Length when there is a body. */
  request(method, path, { headers = {}, body } = {}) {
    const all = { Host: "127.0.0.1", ...headers };
    const bytes = body === undefined ? undefined : Buffer.from(body);
    if (bytes && !("Content-Length" in all) && !("Transfer-Encoding" in all)) all["Content-Length"] = bytes.length;
    const lines = Object.entries(all).filter(([, value]) => value !== null).map(([name, value]) => `${name}: ${value}${CRLF}`);
    const head = Buffer.from(`${method} ${path} HTTP/1.1${CRLF}${lines.join("")}${CRLF}`, "latin1");
    return this.write(bytes ? Buffer.concat([head, bytes]) : head);
  }

  /** The next response: { status, headers, body }. */
  response(ms) {
    if (this.#responses.length) return Promise.resolve(this.#responses.shift());
    const reader = deferred();
    if (this.socket.destroyed) reader.reject(this.error ?? new Error("closed without an answer"));
    else this.#readers.push(reader);
    return within(reader.promise, "the response", ms);
  }

  reset() {
    reset(this.socket);
  }

  destroy() {
    this.socket.destroy();
  }

  #parse(ended) {
    for (;;) {
      const end = this.#incoming.indexOf(CRLF + CRLF);
      if (end < 0) return;
      const [status, ...lines] = this.#incoming.subarray(0, end).toString("latin1").split(CRLF);
      const headers = {};
      for (const line of lines) {
        const name = line.slice(0, line.indexOf(":")).toLowerCase();
        const value = line.slice(line.indexOf(":") + 1).trim();
        headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
      }
      const body = this.#body(headers, this.#incoming.subarray(end + 4), Number(status.split(" ")[1]), ended);
      if (!body) return;
      this.#incoming = this.#incoming.subarray(end + 4 + body.size);
      const response = { status: Number(status.split(" ")[1]), headers, body: body.bytes };
      if (this.#readers.length) this.#readers.shift().resolve(response);
      else this.#responses.push(response);
    }
  }

  #body(headers, rest, status, ended) {
    if (status === 204 || status === 304 || status < 200) return { bytes: Buffer.alloc(0), size: 0 };
    if (headers["transfer-encoding"] === "chunked") return unchunk(rest);
    if (headers["content-length"] !== undefined) {
      const size = Number(headers["content-length"]);
      return rest.length >= size ? { bytes: rest.subarray(0, size), size } : null;
    }
    return ended ? { bytes: rest, size: rest.length } : null;
  }
}

function unchunk(rest) {
  const parts = [];
  let at = 0;
  for (;;) {
    const line = rest.indexOf(CRLF, at);
    if (line < 0) return null;
    const size = parseInt(rest.subarray(at, line).toString("latin1"), 16);
    if (rest.length < line + 2 + size + 2) return null;
    if (size === 0) return { bytes: Buffer.concat(parts), size: line + 4 };
    parts.push(rest.subarray(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
  }
}

/** One request on a connection of its own. */
export async function exchange(server, method, path, options = {}) {
  const connection = new RawConnection(server);
  try {
    await connection.request(method, path, { ...options, headers: { Connection: "close", ...options.headers } });
    return await connection.response(options.ms);
  } finally {
    connection.destroy();
  }
}

/** An Engine.IO session over polling, request by request. */
export class RawPolling {
  static async open(server, { path = "/socket.io/", query = "", headers } = {}) {
    const polling = new RawPolling();
    polling.server = server;
    polling.base = `${path}?EIO=4&transport=polling${query}`;
    const response = await exchange(server, "GET", polling.base, { headers });
    if (response.status !== 200) throw Object.assign(new Error(`status ${response.status}`), { response });
    polling.handshake = response;
    polling.opened = JSON.parse(response.body.toString().slice(1));
    polling.url = `${polling.base}&sid=${polling.opened.sid}`;
    return polling;
  }

  /** A session that has joined the namespace. */
  static async join(server, { nsp = "/", ...options } = {}) {
    const polling = await RawPolling.open(server, options);
    const prefix = nsp === "/" ? "" : nsp + ",";
    await polling.post(`40${prefix}`);
    const [answer] = await polling.packets();
    if (!answer.startsWith(`40${prefix}`)) throw new Error(`not let in: ${answer}`);
    polling.id = JSON.parse(answer.slice(2 + prefix.length)).sid;
    return polling;
  }

  post(body, options) {
    return exchange(this.server, "POST", this.url, { ...options, body, headers: { "Content-Type": "text/plain;charset=UTF-8", ...options?.headers } });
  }

  poll(options) {
    return exchange(this.server, "GET", this.url, options);
  }

  /** The next packets that are not pings, which are answered. */
  async packets() {
    for (;;) {
      const response = await this.poll();
      if (response.status !== 200) throw Object.assign(new Error(`status ${response.status}`), { response });
      const packets = response.body.toString().split("\x1e");
      if (packets.includes("2")) await this.post("3");
      const rest = packets.filter((packet) => packet !== "2");
      if (rest.length) return rest;
    }
  }

  /** A connection with a poll under way. */
  async polling() {
    const connection = new RawConnection(this.server);
    await connection.request("GET", this.url);
    return connection;
  }
}
