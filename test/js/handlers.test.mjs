// What a handler may do: wait for its own client, block, panic, fail, answer late, twice or never.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ask, client, connect, connected, settled, TRANSPORTS } from "./lib/clients.mjs";
import { holdfastOnly, scale } from "./lib/env.mjs";
import { useServer } from "./lib/server.mjs";
import { eventually, within } from "./lib/waiting.mjs";

describe("a handler that waits for an ack of the client that it serves", () => {
  const server = useServer();

  for (const via of TRANSPORTS) {
    test(`${via}: gets it`, async () => {
      const socket = await connect(server, { via });
      socket.on("question", (question, answer) => answer(`${question}!`));
      assert.deepEqual(await ask(socket, "ask", "well", 10_000), { answer: "well!" });
    });

    test(`${via}: gets a binary one`, async () => {
      const socket = await connect(server, { via });
      socket.on("question", (question, answer) => answer(question));
      const { answer } = await ask(socket, "ask", Buffer.from([1, 2, 3]), 10_000);
      assert.deepEqual([...answer], [1, 2, 3]);
    });

    test(`${via}: is told when the client stays silent, and the answer after that harms nobody`, async () => {
      const socket = await connect(server, { via });
      const late = new Promise((resolve) => socket.on("question", (_, answer) => resolve(answer)));
      assert.deepEqual(await ask(socket, "ask", "well", 100), { timeout: true });
      (await late)("too late");
      assert.equal(await ask(socket, "echo", "on"), "on");
    });
  }

  test("an event of the client that comes while the handler waits is handled after it", holdfastOnly("one event after another"), async () => {
    const socket = await connect(server);
    const order = [];
    socket.on("question", (_, answer) => {
      socket.emit("echo", "second", () => order.push("second"));
      setImmediate(() => answer("done"));
    });
    socket.emit("ask", "first", 10_000, () => order.push("first"));
    await within(new Promise((resolve) => socket.on("question", resolve)), "the question");
    await ask(socket, "echo", "flush");
    assert.deepEqual(order, ["first", "second"]);
  });

  test("a client that leaves while it is waited for ends the wait", async () => {
    const socket = await connect(server);
    const { id } = socket;
    const asked = new Promise((resolve) => socket.on("question", resolve));
    socket.emit("ask", "are you there", 60_000);
    await asked;
    socket.disconnect();
    await server.disconnectOf(id);
    await server.statsWhen("the socket to be gone", (s) => s.namespaces["/"] === 0);
  });
});

describe(`a handler that blocks for ${scale.blockMs} ms with a heartbeat of 1 s`, () => {
  const server = useServer({ pingInterval: "1s", pingTimeout: "1500ms" });

  const blockedClient = async (via, flood) => {
    const socket = await settled(server, { via });
    const losses = [];
    socket.on("disconnect", (reason) => losses.push(reason));
    const answer = within(socket.emitWithAck("block", scale.blockMs), "the blocked handler's ack", scale.blockMs + 20_000);
    for (let n = 0; n < flood; n++) socket.emit("numbered", n, "x".repeat(4000));
    assert.deepEqual(await answer, { blocked: scale.blockMs });
    const numbers = await ask(socket, "numbers");
    assert.deepEqual({ count: numbers.count, disorder: numbers.disorder }, { count: flood, disorder: 0 });
    assert.deepEqual(losses, [], via);
  };

  test("costs its socket no heartbeat, on any transport, and nobody else a moment", async () => {
    const bystander = await connect(server);
    let handled = 0;
    let running = true;
    const others = (async () => {
      while (running) {
        await ask(bystander, "echo", handled);
        handled++;
      }
    })();
    await Promise.all(TRANSPORTS.map((via) => blockedClient(via, 0)));
    running = false;
    await others;
    assert.ok(handled > 100, `the bystander was answered ${handled} times`);
  });

  test("nor when the client sends more meanwhile than the server takes in", async () => {
    await Promise.all(TRANSPORTS.map((via) => blockedClient(via, 600))); // 2.4 MB against 1 MiB
  });
});

describe("a handler that goes wrong", () => {
  const server = useServer();

  for (const via of TRANSPORTS) {
    test(`${via}: a panic answers that ack with an error, and everything else goes on`, holdfastOnly("a panic is caught"), async () => {
      const bystander = await connect(server, { via });
      const socket = await connect(server, { via });
      const { panics } = await server.stats();
      assert.deepEqual(await ask(socket, "panic"), { error: { code: "internal", message: "internal error" } });
      socket.emit("panic"); // without an ack
      assert.equal(await ask(socket, "echo", 1), 1);
      assert.equal(await ask(bystander, "echo", 2), 2);
      assert.equal((await server.stats()).panics, panics + 2);
      await eventually("the event's name in the log", () => /"event":"panic"/.test(server.log));
    });
  }

  test("a panic in a connection handler, in middleware and at disconnect costs that socket only", holdfastOnly("a panic is caught"), async () => {
    const bystander = await connect(server);
    for (const nsp of ["/panic-connect", "/panic-middleware"]) {
      const socket = client(server, { nsp });
      await within(
        new Promise((resolve) => {
          socket.on("disconnect", resolve);
          socket.on("connect_error", resolve);
        }),
        `${nsp} to turn the client away`,
      );
    }
    const socket = await connect(server, { nsp: "/panic-disconnect" });
    const { id } = socket;
    socket.disconnect();
    await server.disconnectOf(id);
    assert.equal(await ask(bystander, "echo", 1), 1);
    await server.statsWhen("the sockets to be gone", (s) =>
      ["/panic-connect", "/panic-middleware", "/panic-disconnect"].every((name) => s.namespaces[name] === 0),
    );
  });

  test("an error reaches the ack with its code, its message and its data", holdfastOnly("handlers return errors"), async () => {
    const socket = await connect(server);
    const { error } = await ask(socket, "fail", "teapot");
    assert.equal(error.code, "teapot");
    assert.equal(error.message, "short and stout");
    const internal = await ask(socket, "fail", "");
    assert.deepEqual(internal, { error: { code: "internal", message: "internal error" } }, "what is not meant for clients stays here");
    await eventually("the reason in the log", () => /the secret reason/.test(server.log));
  });

  test("an ack after the handler returned arrives; a second one is dropped", async () => {
    const socket = await connect(server);
    assert.equal(await ask(socket, "late ack", 20), "late");
    const answers = [];
    socket.emit("ack twice", (answer) => answers.push(answer));
    await ask(socket, "echo", 1);
    assert.deepEqual(answers, ["first"]);
  });

  test("an ack after the client has gone harms nobody", async () => {
    const socket = await connect(server);
    const { id } = socket;
    socket.emit("late ack", 100, () => {});
    await ask(socket, "echo", 1).catch(() => {});
    socket.disconnect();
    await server.disconnectOf(id);
    const other = await connect(server);
    assert.equal(await ask(other, "late ack", 150), "late");
  });

  test("what JSON can't hold is an error to who emits it, and nothing is sent", holdfastOnly("NaN becomes null in Node"), async () => {
    const socket = await connect(server);
    const seen = [];
    socket.onAny((event) => seen.push(event));
    for (const kind of ["nan", "infinity", "channel", "function", "cycle"]) {
      const { error } = await ask(socket, "unencodable", kind);
      assert.ok(error?.length > 0, `${kind}: ${JSON.stringify(error)}`);
    }
    assert.deepEqual(seen, []);
    const bystander = await connected(client(server));
    assert.equal(await ask(bystander, "echo", 1), 1);
  });

  test("flags on one socket from several goroutines never reach another's emit", holdfastOnly("flags are values"), async () => {
    const sockets = [await connect(server), await connect(server)];
    const heard = { plain: 0, flagged: 0 };
    for (const socket of sockets) socket.on("flagged", () => heard.flagged++);
    sockets[0].on("plain", () => heard.plain++);
    assert.deepEqual(await ask(sockets[0], "flags", 5000), { emitted: 5000 });
    await ask(sockets[1], "echo", "flush");
    assert.deepEqual(heard, { plain: 5000, flagged: 0 });
  });
});
