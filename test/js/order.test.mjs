// Order and completeness of events, each way, on each transport and across the upgrade.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ask, client, connect, connected, TRANSPORTS, upgraded } from "./lib/clients.mjs";
import { scale } from "./lib/env.mjs";
import { useServer } from "./lib/server.mjs";
import { collect, within } from "./lib/waiting.mjs";

const immediate = () => new Promise((resolve) => setImmediate(resolve));
const sequence = (count) => Array.from({ length: count }, (_, i) => i);

// Emits `count` numbered events. Over "upgrade" half of them may leave before the websocket is there and the rest
// only after it, so that they cross the change of transport.
async function emitNumbered(socket, via, count, ...padding) {
  const half = count / 2;
  for (let n = 0; n < count; n++) {
    if (via === "upgrade" && n === half) await upgraded(socket);
    socket.emit("numbered", n, ...padding);
    if (n % 50 === 49) await immediate();
  }
}

describe("client to server", () => {
  const server = useServer();

  test(`${scale.numbered} numbered events, a handler of 0 to 2 ms: in order, none lost`, async (t) => {
    const check = async (via) => {
      const socket = await connect(server, { via });
      await emitNumbered(socket, via, scale.numbered);
      const numbers = await within(socket.emitWithAck("numbers"), "the count", 120_000);
      assert.deepEqual(
        { count: numbers.count, disorder: numbers.disorder, last: numbers.last },
        { count: scale.numbered, disorder: 0, last: scale.numbered - 1 },
        via,
      );
      if (via === "upgrade") assert.deepEqual(numbers.transports, ["polling", "websocket"]);
      else assert.deepEqual(numbers.transports, [via]);
    };
    const results = await Promise.allSettled(TRANSPORTS.map(check)); // the handlers wait, so the three run side by side
    for (const result of results) if (result.status === "rejected") throw result.reason;
  });

  for (const via of TRANSPORTS) {
    test(`${via}: more than the server takes in at once waits on the client and loses nothing`, async () => {
      const count = 3000;
      const padding = "x".repeat(2000); // 6 MB against a receive buffer of 1 MiB
      const socket = await connect(server, { via });
      await emitNumbered(socket, via, count, padding);
      const numbers = await within(socket.emitWithAck("numbers"), "the count", 60_000);
      assert.deepEqual({ count: numbers.count, disorder: numbers.disorder }, { count, disorder: 0 });
    });

    test(`${via}: acks come once each, in the order of their events`, async () => {
      const socket = await connect(server, { via });
      const order = [];
      await within(
        Promise.all(sequence(1000).map((n) => socket.emitWithAck("echo", n).then((answer) => order.push(answer)))),
        "1000 acks",
      );
      assert.deepEqual(order, sequence(1000));
    });
  }
});

describe("server to client", () => {
  const server = useServer();

  for (const via of TRANSPORTS) {
    test(`${via}: 5000 numbered events from a handler arrive in order, each once, before its ack`, async () => {
      const socket = await connect(server, { via });
      const seen = [];
      socket.on("number", (n) => seen.push(n));
      assert.equal(await ask(socket, "count", 5000), 5000);
      assert.deepEqual(seen, sequence(5000));
    });

    test(`${via}: broadcasts while the client arrives and upgrades are in order, without a gap`, async () => {
      const socket = client(server, { via });
      const seen = [];
      let done = false;
      socket.on("tick", (n) => seen.push(n));
      await connected(socket);
      const ticking = (async () => {
        for (let from = 0; from < 2000; from += 50) {
          await server.control("emit", { event: "tick", args: [], times: 50, numbered: true });
        }
        done = true;
      })();
      if (via === "upgrade") await upgraded(socket);
      await ticking;
      assert.ok(done);
      await ask(socket, "echo", "flush");
      assert.deepEqual(seen, sequence(2000).map((i) => i % 50));
    });
  }
});

describe("both ways at once", () => {
  const server = useServer();

  for (const via of TRANSPORTS) {
    test(`${via}: 20 clients echo 200 events each, in order`, async () => {
      const sockets = await Promise.all(sequence(20).map(() => connect(server, { via })));
      await Promise.all(
        sockets.map(async (socket, s) => {
          const echoes = collect(socket, "echo", 200, 60_000);
          for (let n = 0; n < 200; n++) {
            socket.emit("echo", `${s}:${n}`);
            if (n % 10 === 9) await immediate();
          }
          assert.deepEqual(await echoes, sequence(200).map((n) => `${s}:${n}`));
        }),
      );
    });
  }
});
