// The client's own acks: timeouts, retries, many at once.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ask, client, connect, connected, TRANSPORTS } from "./lib/clients.mjs";
import { Proxy } from "./lib/proxy.mjs";
import { useServer } from "./lib/server.mjs";
import { next, within } from "./lib/waiting.mjs";

describe("acks of the server", () => {
  const server = useServer();

  for (const via of TRANSPORTS) {
    test(`${via}: every kind of value comes back as it was`, async () => {
      const socket = await connect(server, { via });
      const values = [
        0, -1, 1.5, 1e21, 5e-324, "", "text", "\u0000\u001f\u007f\u2028", "\ud83d\ude00", true, false, null, [], {}, [[[]]],
        { a: { b: [1, null, { c: "d" }] } }, { "": 1, "key with \"quotes\"": 2, "ключ": 3 }, [1, [2, [3, [4]]]], "4\x1e2", "451-", "/custom,",
      ];
      for (const value of values) assert.deepEqual(await ask(socket, "echo", value), value);
      const all = await within(new Promise((resolve) => socket.emit("echo", ...values, (...answer) => resolve(answer))), "the ack");
      assert.deepEqual(all, values);
    });
  }

  test("no argument at all", async () => {
    const socket = await connect(server);
    const args = await new Promise((resolve) => socket.emit("echo", (...answer) => resolve(answer)));
    assert.deepEqual(args, []);
  });

  test("a timeout that runs out is an error, an answer in time is none", async () => {
    const socket = await connect(server);
    await assert.rejects(socket.timeout(50).emitWithAck("never ack"), /operation has timed out/);
    assert.equal(await socket.timeout(10_000).emitWithAck("echo", 1), 1);
    await assert.rejects(socket.timeout(30).emitWithAck("late ack", 100), /operation has timed out/);
    assert.equal(await ask(socket, "late ack", 120), "late", "the late one was dropped");
  });

  test("ackTimeout of the client's options", async () => {
    const socket = await connect(server, { ackTimeout: 50 });
    await assert.rejects(socket.emitWithAck("never ack"), /operation has timed out/);
  });

  test("acks that never come are rejected when the connection ends", async () => {
    const socket = await connect(server);
    const answer = socket.emitWithAck("never ack");
    answer.catch(() => {});
    await ask(socket, "echo", 1);
    socket.timeout(60_000).emit("never ack", () => {});
    socket.emit("bye", true);
    await assert.rejects(within(answer, "the rejection"), /socket has been disconnected/);
  });

  test("retries: an event is sent again until it is acked, and those behind it keep their order", async () => {
    const socket = await connect(server, { retries: 5, ackTimeout: 60 });
    const order = [];
    const third = new Promise((resolve, reject) => {
      socket.emit("ack from", 3, (error, { tries } = {}) => (error ? reject(error) : (order.push("flaky"), resolve(tries))));
    });
    const behind = new Promise((resolve) => socket.emit("echo", "behind", () => resolve(order.push("behind"))));
    assert.equal(await within(third, "the third try"), 3);
    await within(behind, "the event behind it");
    assert.deepEqual(order, ["flaky", "behind"]);
  });

  test("retries: after the last one the client gives up", async () => {
    const socket = await connect(server, { retries: 2, ackTimeout: 50 });
    const error = await within(new Promise((resolve) => socket.emit("never ack", resolve)), "the end of the retries");
    assert.match(error.message, /operation has timed out/);
    assert.equal(await new Promise((resolve, reject) => socket.emit("echo", 1, (e, v) => (e ? reject(e) : resolve(v)))), 1);
  });

  test("retries across a reconnection: each event is handled, in order", async () => {
    const proxy = await Proxy.to(server);
    const socket = await connected(client(proxy, { retries: 10, ackTimeout: 400, reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50 }));
    const answers = [];
    const all = Array.from({ length: 60 }, (_, n) =>
      new Promise((resolve, reject) => socket.emit("echo", n, (error, answer) => (error ? reject(error) : resolve(answers.push(answer))))),
    );
    for (let i = 0; i < 3; i++) {
      const back = next(socket, "connect");
      proxy.cut();
      await back;
    }
    await within(Promise.all(all), "60 acks");
    assert.deepEqual(answers, Array.from({ length: 60 }, (_, n) => n));
    socket.disconnect();
    await proxy.close();
  });
});
