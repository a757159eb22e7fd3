// The product's own binary as a user starts it: configured by the environment, with a data directory of its own.

import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { after, before } from "node:test";
import { Child } from "./process.mjs";
import { root } from "./server.mjs";

const binary = path.resolve(root, process.env.HOLDFAST_BIN ?? "bin/holdfast");

// What stands in the environment of the test run is not this server's.
const foreign = () => Object.fromEntries(Object.keys(process.env).filter((name) => name.startsWith("HOLDFAST_")).map((name) => [name, undefined]));

export class Product {
  #child;
  #settings;

  /** `settings` are configuration keys as in config.yaml, flat: { "limits.send_buffer": "1MiB" }. */
  constructor(settings = {}) {
    this.#settings = settings;
  }

  #env() {
    const own = Object.entries(this.#settings).map(([key, value]) => [`HOLDFAST_${key.toUpperCase().replaceAll(".", "__")}`, String(value)]);
    return {
      ...foreign(),
      HOLDFAST_LISTEN: `127.0.0.1:${this.port ?? 0}`,
      HOLDFAST_DATA_DIR: path.join(this.dir, "data"),
      HOLDFAST_CLIENT_DIR: path.join(root, "node_modules/socket.io-client/dist"),
      ...Object.fromEntries(own),
    };
  }

  /** Starts it, or starts it again on the same port and data, and resolves once it listens. */
  async start() {
    this.dir ??= await fs.mkdtemp(path.join(os.tmpdir(), "holdfast-product-"));
    this.#child = new Child(binary, ["serve"], { cwd: this.dir, env: this.#env() });
    this.url = await this.#child.line("the server to listen", (line) => {
      if (!line.startsWith("{")) return null;
      const { message, url } = JSON.parse(line);
      return message === "listening" && url;
    });
    this.port = Number(new URL(this.url).port);
    return this;
  }

  /** Runs another command of the binary and resolves with { code, output }. */
  async command(...args) {
    this.dir ??= await fs.mkdtemp(path.join(os.tmpdir(), "holdfast-product-"));
    const child = new Child(binary, args, { cwd: this.dir, env: this.#env() });
    const { code } = await child.exited;
    return { code, output: child.output };
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

  kill() {
    return this.#child.kill();
  }

  /** Ends it in order, fails on a race report or a crash, and removes its data. */
  async stop(options) {
    try {
      await this.#child?.stop(options);
    } finally {
      await fs.rm(this.dir, { recursive: true, force: true });
    }
  }
}

/** A product for the surrounding suite or file. */
export function useProduct(settings) {
  const product = new Product(settings);
  before(() => product.start());
  after(() => product.stop());
  return product;
}
