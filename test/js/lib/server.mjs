// The server that the tests drive: the Go test server (test/testserver), or with TEST_TARGET=node the same
// application on Socket.IO itself (reference/). Both take the same flags and answer the same control requests.

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import http from "node:http";
import path from "node:path";
import { after, before } from "node:test";
import { Child } from "./process.mjs";
import { settles } from "./waiting.mjs";
import { isNode } from "./env.mjs";

const here = path.dirname(fileURLToPath(import.meta.url));
export const root = path.resolve(here, "../../..");

let built;

// HOLDFAST_TESTSERVER names a binary; without it one is built with the race detector. The build cache
// makes the second and later builds quick.
function binary() {
  if (process.env.HOLDFAST_TESTSERVER) return path.resolve(root, process.env.HOLDFAST_TESTSERVER);
  if (!built) {
    const out = path.join(root, "bin", "testserver-race");
    execFileSync("go", ["build", "-race", "-o", out, "./test/testserver"], { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
    built = out;
  }
  return built;
}

const flagName = (key) => key.replace(/[A-Z]/g, (c) => "-" + c.toLowerCase());

const flags = (options) => Object.entries(options).map(([key, value]) => `-${flagName(key)}=${value}`);

export class Server {
  #child;
  #options;

  constructor(options = {}) {
    this.#options = options;
  }

  /** Starts the server and resolves once it listens. `extra` goes over the options of the constructor. */
  async start(extra = {}) {
    const args = flags({ listen: "127.0.0.1:0", ...this.#options, ...extra });
    this.#child = isNode
      ? new Child(process.execPath, ["--expose-gc", path.join(here, "../reference/main.mjs"), ...args])
      : new Child(binary(), args);
    const address = await this.#child.line("the server to listen", (line) => /^listening (\S+)$/.exec(line)?.[1]);
    this.port = Number(address.slice(address.lastIndexOf(":") + 1));
    this.url = `http://127.0.0.1:${this.port}`;
    return this;
  }

  get pid() {
    return this.#child.pid;
  }

  get log() {
    return this.#child.stderr;
  }

  get exited() {
    return this.#child.exited;
  }

  signal(name) {
    this.#child.signal(name);
  }

  /** Stops it in order; throws on a race report, a crash or a bad exit code. */
  async stop(options) {
    await this.#child?.stop(options);
  }

  async kill() {
    await this.#child.kill();
  }

  check() {
    this.#child.check();
  }

  /** Figures after a garbage collection: goroutines, heapBytes, sessions, namespaces, disconnects, ... */
  stats() {
    return this.#request("GET", "/test/stats");
  }

  /** What the Go server's goroutines are at, as text. */
  goroutines() {
    return this.#request("GET", "/test/goroutines");
  }

  /** What the server saw of one socket: { connects, disconnects: [{ reason, rooms }], ... } or null. */
  socket(id) {
    return this.#request("GET", `/test/sockets?id=${encodeURIComponent(id)}`);
  }

  /** Forgets every socket and counter seen so far. */
  forget() {
    return this.control("forget");
  }

  /** A server-side operation (reference/control.mjs and testserver/control.go list them). */
  control(op, body = {}) {
    return this.#request("POST", "/test/control", { op, ...body });
  }

  /** Waits until `accept(stats)`; a failure shows the last figures. */
  statsWhen(what, accept, ms) {
    return settles(what, () => this.stats(), accept, ms);
  }

  /** The server's own account of the socket once it has seen its disconnect. */
  disconnectOf(id, ms) {
    return settles(`the server's disconnect of ${id}`, () => this.socket(id), (s) => s?.disconnects.length > 0, ms);
  }

  #request(method, url, body) {
    return new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body);
      const request = http.request(
        this.url + url,
        { method, agent: false, headers: text === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(text) } },
        (response) => {
          let data = "";
          response.setEncoding("utf8").on("data", (chunk) => (data += chunk));
          response.on("end", () => {
            if (response.statusCode !== 200) reject(new Error(`${method} ${url}: ${response.statusCode}: ${data}`));
            else resolve(response.headers["content-type"]?.startsWith("application/json") ? JSON.parse(data) : data);
          });
        },
      );
      request.on("error", (error) => {
        try {
          this.check();
          reject(error);
        } catch (damage) {
          reject(damage);
        }
      });
      request.end(text);
    });
  }
}

/** A server for the surrounding suite or file: started before its tests, stopped and judged after them. */
export function useServer(options) {
  const server = new Server(options);
  before(() => server.start());
  after(() => server.stop());
  return server;
}
