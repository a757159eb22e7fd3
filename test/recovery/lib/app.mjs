// The server under test, which these tests kill, stop and start again on the same data: the default application
// (HOLDFAST_BIN, else one that is built here with the race detector), or the one in ../server.

import { execFileSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Child } from "../../js/lib/process.mjs";
import { eventually } from "../../js/lib/waiting.mjs";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
const TAIL = 60; // lines of the log that a failure shows

const built = new Map();

// The build cache makes the second and later builds quick.
function build(pkg, name) {
  if (!built.has(pkg)) {
    const out = path.join(root, "bin", name);
    execFileSync("go", ["build", "-race", "-o", out, pkg], { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
    built.set(pkg, out);
  }
  return built.get(pkg);
}

// Whatever stands in the environment of the test run is not this server's.
function settings(own) {
  const foreign = Object.keys(process.env).filter((name) => name.startsWith("HOLDFAST_"));
  return { ...Object.fromEntries(foreign.map((name) => [name, undefined])), ...own };
}

const running = new Set();
process.on("exit", () => {
  for (const child of running) child.signal("SIGKILL");
});

/** A server that can be started again: `command(data)` gives [binary, args, env]. It has a new port after each start. */
class Restartable {
  #child;
  #log = [];
  #own = false;

  constructor(command, data) {
    this.command = command;
    this.data = data;
  }

  async start() {
    if (this.data === undefined) {
      this.data = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-recovery-"));
      this.#own = true;
    }
    const [binary, args, env] = this.command(this.data);
    const child = new Child(binary, args, { cwd: os.tmpdir(), env: settings(env) });
    this.#child = child;
    running.add(child);
    child.exited.then(() => running.delete(child));
    const address = await child.line("the server to listen", (line) => /"address":"([^"]+)".*"message":"listening"/.exec(line)?.[1]);
    this.port = Number(address.slice(address.lastIndexOf(":") + 1));
    this.url = `http://127.0.0.1:${this.port}`;
    return this;
  }

  /** SIGKILL: nothing is told, nothing is written any more. Fails where the server had reported a race or crashed. */
  async kill() {
    const child = this.#child;
    await child.kill();
    this.#keepLog();
    child.check();
  }

  /** SIGTERM, and the end that follows: fails on a race report, a crash or a bad exit code. */
  async terminate() {
    const child = this.#child;
    try {
      await child.stop();
    } finally {
      this.#keepLog();
    }
  }

  /** Ends the server and removes its data. */
  async stop() {
    try {
      if (this.#child) await this.terminate();
    } finally {
      if (this.#own) fs.rmSync(this.data, { recursive: true, force: true });
    }
  }

  check() {
    this.#child.check();
  }

  /** The last lines of the log, those of earlier runs before them. */
  get logTail() {
    const lines = [...this.#log, ...(this.#child?.stderr.split("\n") ?? [])];
    return lines.slice(-TAIL).join("\n");
  }

  #keepLog() {
    this.#log.push(...this.#child.stderr.split("\n"), `--- ended: ${new Date().toISOString()} ---`);
    this.#log = this.#log.slice(-TAIL);
    this.#child = undefined;
  }
}

/** The default application. `env` are its settings, without HOLDFAST_ and in any case of letters. */
export class App extends Restartable {
  constructor(env = {}, data) {
    const binary = process.env.HOLDFAST_BIN ? path.resolve(root, process.env.HOLDFAST_BIN) : build(".", "holdfast-race");
    const own = Object.fromEntries(Object.entries(env).map(([name, value]) => [`HOLDFAST_${name.toUpperCase()}`, String(value)]));
    super(
      (dir) => [
        binary,
        ["serve"],
        {
          HOLDFAST_LISTEN: "127.0.0.1:0",
          HOLDFAST_DATA_DIR: dir,
          HOLDFAST_SERVE_CLIENT: "false",
          HOLDFAST_LOG__FORMAT: "json",
          HOLDFAST_LOG__LEVEL: "debug",
          ...own,
        },
      ],
      data,
    );
  }

  /** /readyz: { ok, reasons }. */
  async ready() {
    const answer = await fetch(`${this.url}/readyz`);
    return { ok: answer.ok, reasons: (await answer.json()).reasons ?? [] };
  }

  /** The sum of a figure of /metrics over its labels. */
  async figure(name) {
    const text = await fetch(`${this.url}/metrics`).then((answer) => answer.text());
    const lines = text.split("\n").filter((line) => line.startsWith(name) && /^[{ ]/.test(line.slice(name.length)));
    if (lines.length === 0) throw new Error(`/metrics has no ${name}`);
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
  }

  figureWhen(name, accept, ms) {
    let last;
    return eventually(`${name} to settle`, async () => accept((last = await this.figure(name))) && { last }, ms).catch((error) => {
      throw new Error(`${error.message}: ${name} is ${last}\n${this.logTail}`);
    });
  }

  /** What the data directory takes on disk, in bytes. */
  get size() {
    return bytesBelow(this.data);
  }
}

/** The application in ../server. `flags` are its flags; with { durable: true } its log is on disk. */
export class Own extends Restartable {
  constructor({ durable = false, ...flags } = {}) {
    const binary = build("./test/recovery/server", "recovery-server-race");
    const args = Object.entries(flags).map(([name, value]) => `-${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}=${value}`);
    super((dir) => [binary, durable ? [...args, `-data=${dir}`] : args, {}]);
  }
}

function bytesBelow(dir) {
  let sum = 0;
  for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
    const name = path.join(dir, entry.name);
    if (entry.isDirectory()) sum += bytesBelow(name);
    else sum += fs.statSync(name, { throwIfNoEntry: false })?.size ?? 0; // gone meanwhile
  }
  return sum;
}
