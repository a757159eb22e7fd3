// The few bytes of websocket that no stock client would send.
import { connect } from "node:net";
import { once } from "node:events";

const upgrade = (port) =>
  `GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

const TEXT = 0x81;
const BINARY = 0x82;

// frame is a masked frame; the mask is zero, which leaves the payload as it is.
function frame(head, text) {
  const payload = Buffer.from(text);
  if (payload.length > 125) throw new Error("too long for a short frame");
  return Buffer.concat([Buffer.from([head, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
}

export class RawClient {
  static async open(port) {
    const client = new RawClient();
    client.received = "";
    client.socket = connect(port, "127.0.0.1");
    client.socket.on("error", () => {});
    client.socket.on("data", (chunk) => { client.received += chunk.toString("latin1"); });
    await once(client.socket, "connect");
    client.socket.write(upgrade(port));
    await client.until(/\r\n\r\n[^]*"sid"/);
    return client;
  }

  send(text) {
    this.socket.write(frame(TEXT, text));
  }

  sendBinary(text) {
    this.socket.write(frame(BINARY, text));
  }

  // until waits for something that the server sends, for two seconds at most.
  async until(pattern) {
    const end = Date.now() + 2000;
    for (;;) {
      const match = pattern.exec(this.received);
      if (match || Date.now() > end || this.socket.destroyed) return match;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  reset() {
    this.socket.resetAndDestroy();
  }
}
