// Broadcasts with acks: every client is counted rightly, whatever it answers.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ask, connect, TRANSPORTS } from "./lib/clients.mjs";
import { holdfastOnly, isNode } from "./lib/env.mjs";
import { useServer } from "./lib/server.mjs";
import { deferred } from "./lib/waiting.mjs";

const first = (responses) => responses.map((args) => args[0] ?? null).sort();

describe("broadcast acks", () => {
  const server = useServer();

  // `room` keeps the tests apart; `behaviours` says what each client does with the question.
  async function ballot(room, behaviours, { timeout = 300, via = "websocket", ...options } = {}) {
    const sockets = await Promise.all(
      behaviours.map(async (behaviour, i) => {
        const socket = await connect(server, { via });
        socket.io.on("packet", (packet) => (socket.lastPacket = packet));
        socket.on("vote", (question, answer) => behaviour(answer, socket, i));
        await ask(socket, "join", room);
        return socket;
      }),
    );
    const result = await server.control("emitWithAck", { rooms: [room], event: "vote", args: ["?"], timeout, ...options });
    return { ...result, sockets };
  }

  const yes = (answer) => answer("yes");
  const silent = () => {};

  for (const via of TRANSPORTS) {
    test(`${via}: all answer`, async () => {
      const { timedOut, responses, missing } = await ballot(`all ${via}`, [yes, yes, yes], { via, timeout: 10_000 });
      assert.equal(timedOut, false);
      assert.deepEqual(first(responses), ["yes", "yes", "yes"]);
      if (!isNode) assert.equal(missing, 0);
    });
  }

  test("no argument, one, two and null", async () => {
    const { timedOut, responses } = await ballot("arity", [
      (answer) => answer(),
      (answer) => answer("one"),
      (answer) => answer("one", "two"),
      (answer) => answer(null),
    ], { timeout: 10_000 });
    assert.equal(timedOut, false);
    assert.equal(responses.length, 4);
    assert.deepEqual(first(responses), [null, null, "one", "one"]);
    if (!isNode) assert.deepEqual(responses.map((args) => args.length).sort(), [0, 1, 1, 2]);
  });

  test("binary answers", async () => {
    const { responses } = await ballot("binary", [(answer) => answer(Buffer.from([1, 2]))], { timeout: 10_000 });
    assert.equal(responses.length, 1);
    if (!isNode) assert.deepEqual(responses[0], [Buffer.from([1, 2]).toString("base64")], "shown as JSON shows it");
  });

  test("one stays silent: the time runs out, with what the others said", async () => {
    const { timedOut, responses, missing } = await ballot("silent", [yes, silent, yes]);
    assert.equal(timedOut, true);
    assert.deepEqual(first(responses), ["yes", "yes"]);
    if (!isNode) assert.equal(missing, 1);
  });

  test("an answer that comes late counts as missing and harms nobody", async () => {
    const late = deferred();
    const { timedOut, responses, missing, sockets } = await ballot("late", [yes, (answer) => late.resolve(answer)]);
    assert.equal(timedOut, true);
    assert.deepEqual(first(responses), ["yes"]);
    if (!isNode) assert.equal(missing, 1);
    (await late.promise)("too late");
    assert.equal(await ask(sockets[1], "echo", "on"), "on");
  });

  test("a client that answers twice counts once", async () => {
    const { responses, missing } = await ballot("twice", [
      (answer, socket) => {
        answer("yes");
        socket.io._packet({ type: 3, nsp: "/", id: socket.lastPacket.id, data: ["again"] });
      },
      silent,
    ]);
    assert.deepEqual(first(responses), ["yes"]);
    if (!isNode) assert.equal(missing, 1);
  });

  test("nobody is there", async () => {
    const { timedOut, responses, missing } = await ballot("empty", []);
    assert.deepEqual({ timedOut, responses }, { timedOut: false, responses: [] });
    if (!isNode) assert.equal(missing, 0);
  });

  test("a client that leaves meanwhile is not waited for", holdfastOnly("Node waits the whole time"), async () => {
    const started = Date.now();
    const { timedOut, responses, missing } = await ballot("leaves", [yes, (_, socket) => socket.disconnect(), yes], { timeout: 60_000 });
    assert.ok(Date.now() - started < 30_000);
    assert.deepEqual(first(responses), ["yes", "yes"]);
    assert.equal(missing, 1);
    assert.equal(timedOut, false);
  });

  test("the whole matrix at once", async () => {
    const leave = (_, socket) => socket.disconnect();
    const behaviours = [];
    for (let i = 0; i < 10; i++) behaviours.push(yes, (answer) => answer(), (answer) => answer("yes", 2), silent, leave);
    const { timedOut, responses, missing } = await ballot("matrix", behaviours, { timeout: 1500 });
    assert.equal(timedOut, true);
    assert.equal(responses.length, 30);
    if (!isNode) assert.equal(missing, 20);
  });

  test("except and two ballots at once do not mix", async () => {
    const a = await connect(server);
    const b = await connect(server);
    for (const [socket, name] of [[a, "a"], [b, "b"]]) {
      socket.on("who", (n, answer) => answer(`${name}${n}`));
      await ask(socket, "join", "mix");
      await ask(socket, "join", `only ${name}`);
    }
    const ballots = Array.from({ length: 50 }, (_, n) =>
      server.control("emitWithAck", { rooms: ["mix"], except: n % 2 ? ["only a"] : [], event: "who", args: [n], timeout: 10_000 }),
    );
    for (const [n, result] of (await Promise.all(ballots)).entries()) {
      assert.deepEqual(first(result.responses), n % 2 ? [`b${n}`] : [`a${n}`, `b${n}`]);
    }
  });
});
