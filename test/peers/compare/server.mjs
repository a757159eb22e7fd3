// A server process for the length of one case.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

export class Server {
  // command: what to run; --host, --port and --compare are added, then args.
  static async start(command, ...args) {
    const server = new Server();
    server.port = await freePort();
    server.url = `http://127.0.0.1:${server.port}`;
    const [program, ...rest] = command;
    server.process = spawn(program, [...rest, "--host", "127.0.0.1", "--port", String(server.port), "--compare", ...args], { stdio: "ignore" });
    await server.#listening();
    return server;
  }

  async #listening() {
    for (let tries = 0; tries < 200 && this.alive; tries++) {
      const socket = connect(this.port, "127.0.0.1");
      const ok = await new Promise((resolve) => {
        socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
      });
      socket.destroy();
      if (ok) return;
      await sleep(25);
    }
    throw new Error("the server doesn't start");
  }

  get alive() {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  // Resident memory in MB.
  get memory() {
    const status = readFileSync(`/proc/${this.process.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)[1]) / 1024;
  }

  // diesWithin waits up to ms for the process to end.
  async diesWithin(ms) {
    for (const end = Date.now() + ms; Date.now() < end && this.alive;) await sleep(20);
    return !this.alive;
  }

  async stop() {
    if (!this.alive) return;
    const ended = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await ended;
  }
}
