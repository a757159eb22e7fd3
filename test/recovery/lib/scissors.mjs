// A link that is cut at a certain place of what the server sends.

import net from "node:net";

export class Scissors {
  #armed;
  port;

  static async to(server) {
    const scissors = new Scissors();
    scissors.target = server;
    scissors.listener = net.createServer((near) => scissors.#accept(near));
    await new Promise((resolve, reject) => scissors.listener.once("error", reject).listen(0, "127.0.0.1", resolve));
    scissors.port = scissors.listener.address().port;
    scissors.url = `http://127.0.0.1:${scissors.port}`;
    return scissors;
  }

  /**
   * The next connection on which the server sends `text` ends right before it: what comes earlier is delivered. Resolves
   * when that has happened. `before` is how many bytes in front of the text are cut off with it, such as a frame's header.
   */
  cutBefore(text, before = 0) {
    return new Promise((done) => (this.#armed = { text, before, done }));
  }

  close() {
    return new Promise((resolve) => this.listener.close(resolve));
  }

  #accept(near) {
    const far = net.connect({ port: this.target.port, host: "127.0.0.1", noDelay: true });
    near.setNoDelay(true);
    near.on("error", () => {}).on("close", () => far.destroy());
    far.on("error", () => {}).on("close", () => near.destroy());
    near.pipe(far);
    far.on("data", (chunk) => {
      const at = this.#armed ? chunk.indexOf(this.#armed.text) : -1;
      if (at < 0) return near.write(chunk);
      const { before, done } = this.#armed;
      this.#armed = undefined;
      far.removeAllListeners("data").pause();
      near.end(chunk.subarray(0, at - before), () => {
        near.once("close", done);
        far.destroy();
      });
    });
  }
}
