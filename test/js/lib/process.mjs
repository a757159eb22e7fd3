// One child process under test: started, awaited until it listens, watched for race reports and crashes, stopped.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { deferred, within } from "./waiting.mjs";

const DAMAGE = [
  /WARNING: DATA RACE/,
  /^fatal error: /m,
  /^panic: /m,
  /^goroutine \d+ \[running\]:$/m, // the head of an unrecovered panic's stack on stderr
];

const KEPT = 256 * 1024; // bytes of stderr that a failure can show

export class Child {
  #process;
  #stderr = "";
  #damage;
  #exit = deferred();
  #lines = [];
  #waiters = [];
  #stopping = false;

  constructor(command, args, { env = {}, cwd, onDamage } = {}) {
    this.command = [command, ...args].join(" ");
    this.#process = spawn(command, args, {
      cwd,
      env: { ...process.env, GORACE: "halt_on_error=0 history_size=2", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#process.on("error", (error) => this.#exit.resolve({ code: null, signal: null, error }));
    this.#process.on("close", (code, signal) => this.#exit.resolve({ code, signal }));
    this.#exit.promise.then(() => this.#settleWaiters());
    createInterface({ input: this.#process.stdout }).on("line", (line) => this.#line(line));
    createInterface({ input: this.#process.stderr }).on("line", (line) => {
      this.#line(line);
      if (this.#stderr.length < KEPT || this.#damage) this.#stderr = (this.#stderr + line + "\n").slice(-2 * KEPT);
      else this.#stderr = this.#stderr.slice(-KEPT / 2) + line + "\n";
      if (!this.#damage && DAMAGE.some((pattern) => pattern.test(line))) {
        this.#damage = line;
        onDamage?.(line);
      }
    });
  }

  get pid() {
    return this.#process.pid;
  }

  /** What it has written so far, both streams, line by line. */
  get output() {
    return this.#lines.join("\n");
  }

  get stderr() {
    return this.#stderr;
  }

  /** Resolves with { code, signal } once the process is gone. */
  get exited() {
    return this.#exit.promise;
  }

  /** The first line, of those to come, for which `match` returns something; and that something. */
  line(what, match, ms = 60_000) {
    for (const line of this.#lines) {
      const found = match(line);
      if (found) return Promise.resolve(found);
    }
    const waiter = { match, ...deferred() };
    this.#waiters.push(waiter);
    return within(waiter.promise, what, ms).catch((error) => {
      throw new Error(`${this.command}: ${error.message}\n${this.#stderr.slice(-4000)}`);
    });
  }

  signal(name) {
    this.#process.kill(name);
  }

  /** SIGTERM, then the verdict: throws on a race report, a crash, or an exit that was not asked for. */
  async stop({ signal = "SIGTERM", ms = 30_000 } = {}) {
    this.#stopping = true;
    this.#process.kill(signal);
    let result;
    try {
      result = await within(this.exited, `${this.command} to end after ${signal}`, ms);
    } catch (error) {
      this.#process.kill("SIGQUIT"); // a Go program then prints what its goroutines wait for
      await within(this.exited, "the end after SIGQUIT", 5000).catch(() => this.#process.kill("SIGKILL"));
      throw new Error(`${error.message}\n${this.#stderr.slice(-20_000)}`);
    }
    this.check();
    const orderly = result.code === 0 || (signal === "SIGKILL" && result.signal === "SIGKILL");
    if (!orderly) {
      throw new Error(`${this.command}: exit code ${result.code}, signal ${result.signal}\n${this.#stderr.slice(-20_000)}`);
    }
    return result;
  }

  /** Throws when the process reported a data race or crashed. */
  check() {
    if (this.#damage) {
      const at = Math.max(0, this.#stderr.indexOf(this.#damage) - 200);
      throw new Error(`${this.command}: ${this.#damage}\n${this.#stderr.slice(at, at + 20_000)}`);
    }
    if (!this.#stopping && (this.#process.exitCode !== null || this.#process.signalCode !== null)) {
      throw new Error(
        `${this.command}: gone (exit code ${this.#process.exitCode}, signal ${this.#process.signalCode})\n` +
          this.#stderr.slice(-20_000),
      );
    }
  }

  /** The process was killed on purpose; its exit is no failure. */
  async kill() {
    this.#stopping = true;
    this.#process.kill("SIGKILL");
    await this.exited;
  }

  #line(line) {
    if (this.#lines.length < 1000) this.#lines.push(line);
    for (const waiter of this.#waiters) {
      const found = waiter.match(line);
      if (found) waiter.resolve(found);
    }
  }

  async #settleWaiters() {
    const { code, signal, error } = await this.exited;
    for (const waiter of this.#waiters) {
      waiter.reject(error ?? new Error(`${this.command}: ended (code ${code}, signal ${signal})\n${this.#stderr.slice(-4000)}`));
    }
  }
}
