// A TCP proxy before the server: the link that a test can cut, stall or slow down.

import net from "node:net";
import { reset } from "./reset.mjs";

export class Proxy {
  #pairs = new Set();
  #stalled = false;
  #refusing = false;
  /** Websockets are cut off at their first request, as by a middlebox that does not know them. */
  pollingOnly = false;

  /** A proxy to anything with a port. It has `port` and `url` as a server has. */
  static async to(server) {
    const proxy = new Proxy();
    proxy.target = server;
    proxy.listener = net.createServer((socket) => proxy.#accept(socket));
    await new Promise((resolve, reject) => {
      proxy.listener.once("error", reject);
      proxy.listener.listen(0, "127.0.0.1", resolve);
    });
    proxy.port = proxy.listener.address().port;
    proxy.url = `http://127.0.0.1:${proxy.port}`;
    return proxy;
  }

  get connections() {
    return this.#pairs.size;
  }

  /** Ends every connection at once, with a reset. New ones are let through. */
  cut() {
    for (const { near, far } of this.#pairs) {
      reset(near);
      reset(far);
    }
  }

  /** Nothing passes any more, either way, and nobody is told. New connections are accepted and left hanging. */
  stall() {
    this.#stalled = true;
    for (const { near, far } of this.#pairs) {
      near.unpipe(far).pause();
      far.unpipe(near).pause();
    }
  }

  /** New connections pass again; those that were stalled stay so. */
  heal() {
    this.#stalled = false;
    this.#refusing = false;
  }

  /** New connections are reset at once. */
  refuse() {
    this.#refusing = true;
  }

  async close() {
    this.cut();
    await new Promise((resolve) => this.listener.close(resolve));
  }

  #accept(near) {
    near.on("error", () => {});
    if (this.#refusing) return reset(near);
    const far = net.connect({ port: this.target.port, host: "127.0.0.1", noDelay: true });
    far.on("error", () => {});
    near.setNoDelay(true);
    const pair = { near, far };
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    near.on("close", end);
    far.on("close", end);
    if (this.#stalled) {
      near.pause();
      return;
    }
    if (this.pollingOnly) {
      near.once("data", (head) => {
        if (/^upgrade: websocket/im.test(head.toString("latin1"))) return end();
        far.write(head);
        near.pipe(far);
      });
    } else {
      near.pipe(far);
    }
    far.pipe(near);
  }
}
