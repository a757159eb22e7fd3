// Payloads up to maxPayload are answered, whatever carries them; above it the session ends and nobody else notices.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import { describe, test } from "node:test";
import { ask, connect, disconnected, settled, TRANSPORTS } from "./lib/clients.mjs";
import { useServer } from "./lib/server.mjs";

const KB = 1000;
const server = useServer({ maxPayload: 1_000_000, connectTimeout: "2s" });

for (const via of TRANSPORTS) {
  describe(via, () => {
    for (const size of [70 * KB, 900 * KB]) {
      test(`${size / KB} KB of text is answered`, async () => {
        const socket = await settled(server, { via });
        const text = crypto.randomBytes(size / 2).toString("hex");
        assert.equal(await ask(socket, "echo", text), text);
      });
    }

    test("700 KB of text outside ASCII is answered", async () => {
      const socket = await settled(server, { via });
      const text = "é€😀 \u2028\u0001\"\\".repeat(35 * KB);
      assert.ok((await ask(socket, "echo", text)) === text);
    });

    test("70 KB and 600 KB of binary are answered", async () => {
      const socket = await settled(server, { via });
      for (const size of [70 * KB, 600 * KB]) {
        const bytes = crypto.randomBytes(size);
        const answer = await ask(socket, "echo", bytes, { nested: [bytes] });
        assert.ok(bytes.equals(answer), `${size} bytes came back changed`);
      }
    });

    test("ten events of 300 KB at once are all answered", async () => {
      const socket = await settled(server, { via });
      const texts = Array.from({ length: 10 }, (_, i) => String(i).repeat(300 * KB));
      const answers = await Promise.all(texts.map((text) => ask(socket, "echo", text)));
      assert.ok(answers.every((answer, i) => answer === texts[i]));
    });

    test("above maxPayload: the session ends, the server is unharmed", async () => {
      const bystander = await settled(server, { via });
      const socket = await settled(server, { via });
      const { id } = socket;
      const gone = disconnected(socket);
      socket.emit("echo", "x".repeat(1_100_000));
      const { reason, details } = await gone;
      if (via === "polling") {
        assert.equal(reason, "transport error");
        assert.equal(details.context.status, 413);
      } else {
        assert.match(reason, /^transport (close|error)$/);
        if (details.context.code !== undefined) assert.equal(details.context.code, 1009);
      }
      assert.equal(await ask(bystander, "echo", "alive"), "alive");
      assert.equal((await connect(server, { via })).connected, true, "new clients are let in");
      if (via !== "polling") {
        const { disconnects } = await server.disconnectOf(id);
        assert.equal(disconnects.length, 1);
        assert.match(disconnects[0].reason, /^transport (close|error)$/);
      }
    });
  });
}
