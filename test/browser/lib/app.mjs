// The built binary (HOLDFAST_BIN, else bin/holdfast) as a user would start it: on a free port of this
// machine, with a data directory of its own.

import fs from "node:fs/promises";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Child } from "../../js/lib/process.mjs";
import { eventually } from "../../js/lib/waiting.mjs";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
const binary = path.resolve(root, process.env.HOLDFAST_BIN ?? "bin/holdfast");

export const clientDir = path.join(root, "node_modules/socket.io-client/dist");

function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// Our own settings only: whatever stands in the environment of the test run is not this server's.
function settings(own) {
  const foreign = Object.keys(process.env).filter((name) => name.startsWith("HOLDFAST_"));
  return { ...Object.fromEntries(foreign.map((name) => [name, undefined])), ...own };
}

export class App {
  #child;
  #data;

  constructor(env = {}) {
    this.env = env;
  }

  /** Starts the server, or starts it again on the same port and data. */
  async start() {
    this.port ??= await freePort();
    this.#data ??= await fs.mkdtemp(path.join(os.tmpdir(), "holdfast-browser-"));
    this.url = `http://127.0.0.1:${this.port}/`;
    this.#child = new Child(binary, ["serve"], {
      cwd: this.#data,
      env: settings({ HOLDFAST_LISTEN: `127.0.0.1:${this.port}`, HOLDFAST_DATA_DIR: this.#data, HOLDFAST_CLIENT_DIR: clientDir, ...this.env }),
    });
    await eventually("the server to be ready", async () => {
      this.#child.check();
      return fetch(`${this.url}readyz`).then((answer) => answer.ok, () => false);
    });
    return this;
  }

  /** SIGKILL: nothing is told, nothing is written any more. */
  async kill() {
    await this.#child.kill();
  }

  /** Ends the server in order, fails on a race report or a crash, and removes its data. */
  async stop() {
    try {
      await this.#child?.stop();
    } finally {
      if (this.#data) await fs.rm(this.#data, { recursive: true, force: true });
    }
  }
}
