// Socket.IO packets that no honest client sends, over websocket and in POST bodies.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { useBystander } from "./lib/bystander.mjs";
import { isNode } from "./lib/env.mjs";
import { RawPolling } from "./lib/raw-http.mjs";
import { RawWebSocket } from "./lib/raw-websocket.mjs";
import { useServer } from "./lib/server.mjs";

const REFUSED = "refused"; // the connection is closed
const IGNORED = "ignored"; // the packet has no effect, the connection lives on
const DIES = "dies"; // Socket.IO's process ends: not tried there

const placeholder = (num) => `{"_placeholder":true,"num":${num}}`;
const deep = (levels, open = "[", close = "]") => open.repeat(levels) + close.repeat(levels);
const bytes = Buffer.from([1, 2, 3]);

// [name, what is sent (text or binary messages), what comes of it, and where Socket.IO differs what it does]
const packets = [
  ["an event without arguments or name: 42", ["2"], REFUSED, IGNORED],
  ["an event with an id and nothing else: 4212", ["212"], REFUSED, IGNORED],
  ["an event that is an object", ["2{}"], REFUSED],
  ["an event that is a string", ['2"echo"'], REFUSED],
  ["an event that is not JSON", ["2[echo]"], REFUSED],
  ["an event cut off", ['2["echo",{"a":'], REFUSED],
  ["an event with something behind it", ['2["echo"]]'], REFUSED],
  ["an event without a name", ["2[]"], REFUSED],
  ["an event whose name is null", ["2[null]"], REFUSED],
  ["an event whose name is an object", ['2[{"a":1}]'], REFUSED],
  ["a reserved name: connect", ['2["connect"]'], REFUSED],
  ["a reserved name: disconnect", ['2["disconnect","x"]'], REFUSED],
  ["a reserved name: newListener", ['2["newListener","x"]'], REFUSED],
  ["an id that is no number", ['2abc["echo",1]'], REFUSED],
  ["a negative id", ['2-1["echo",1]'], REFUSED],
  ["a packet of no type", [""], REFUSED],
  ["an unknown type", ["9"], REFUSED],
  ["an unknown type with text", ["abc"], REFUSED],
  ["CONNECT_ERROR from a client", ['4{"message":"no"}'], REFUSED],
  ["CONNECT with an array", ["0/custom,[1]"], REFUSED],
  ["CONNECT with a string", ['0/custom,"x"'], REFUSED],
  ["CONNECT with null", ["0/custom,null"], REFUSED],
  ["CONNECT twice", ["0"], REFUSED],
  ["DISCONNECT with data", ["1[1]"], REFUSED],
  ["an event for a namespace never joined", ['2/custom,["echo",1]'], REFUSED],
  ["an ack for a namespace never joined", ["3/custom,0[]"], REFUSED],
  ["DISCONNECT of a namespace never joined", ["1/custom,"], REFUSED],
  ["an ack without an id", ["3[1]"], IGNORED],
  ["an ack of nothing", ["3"], IGNORED],
  ["an ack nobody waits for", ["3123[1]"], IGNORED],
  ["an ack nobody waits for, without data", ["3123"], IGNORED],
  ["an ack that is an object", ['30{"a":1}'], REFUSED],
  ["an ack whose id has 40 digits", [`3${"9".repeat(40)}[1]`], [REFUSED, IGNORED]],
  ["451- and a binary frame", ["51-", bytes], REFUSED, IGNORED],
  ["a binary event cut short by a text one", [`51-["echo",${placeholder(0)}]`, '2["echo",1]'], REFUSED],
  ["a binary frame out of the blue", [bytes], REFUSED],
  ["no attachments announced", ['50-["echo",1]'], REFUSED],
  ["999999 attachments announced: 45999999-[", ["5999999-["], REFUSED],
  ["eleven attachments announced", [`511-["echo",${placeholder(0)}]`], REFUSED],
  ["minus one attachment announced", [`5-1-["echo",${placeholder(0)}]`], REFUSED],
  ["1e1 attachments announced", [`51e1-["echo",${placeholder(0)}]`], REFUSED],
  ["attachments without a count", [`5-["echo",${placeholder(0)}]`], REFUSED],
  ["attachments without a dash", ['51["echo",1]'], REFUSED],
  ["a placeholder out of range", [`51-["echo",${placeholder(1)}]`, bytes], REFUSED],
  ["a placeholder below zero", [`51-["echo",${placeholder(-1)}]`, bytes], REFUSED],
  ["a placeholder that is a fraction", [`51-["echo",${placeholder(0.5)}]`, bytes], REFUSED, [REFUSED, IGNORED]],
  ["a placeholder that is a string", [`51-["echo",${placeholder('"0"')}]`, bytes], REFUSED],
  ["a placeholder that is an object", [`51-["echo",${placeholder("{}")}]`, bytes], REFUSED],
  ["a placeholder of 1e400", [`51-["echo",${placeholder("1e400")}]`, bytes], REFUSED],
  ["a placeholder where the name should be", [`51-[${placeholder(0)}]`, bytes], REFUSED],
  ["an attachment without a placeholder", ['51-["note",1]', bytes], [REFUSED, IGNORED]],
  ["one attachment for a thousand placeholders", [`51-["note",[${Array(1000).fill(placeholder(0))}]]`, bytes], [REFUSED, IGNORED]],
  ["a placeholder in a text event", [`2["note",${placeholder(0)}]`], [REFUSED, IGNORED]],
  ["nesting 100,000 deep", [`2["note",${deep(100_000)}]`], [REFUSED, IGNORED]],
  ["objects nested 50,000 deep", [`2["note",${'{"a":'.repeat(50_000)}1${"}".repeat(50_000)}]`], [REFUSED, IGNORED]],
  ["nesting 100,000 deep, never closed", [`2["note",${"[".repeat(100_000)}`], REFUSED],
  ["nesting 100,000 deep in auth", [`0/custom,{"a":${deep(100_000)}}`], [REFUSED, IGNORED]],
  ["nesting 100,000 deep with an attachment", [`51-["note",${"[".repeat(100_000)}${placeholder(0)}${"]".repeat(100_000)}]`, bytes], [REFUSED, IGNORED]],
  ["300,000 arguments", [`2["note"${",1".repeat(300_000)}]`], [REFUSED, IGNORED], DIES],
  ["100,000 equal keys", [`2["note",{${Array(100_000).fill('"a":1')}}]`], [REFUSED, IGNORED]],
  ["a number of 100,000 digits", [`2["note",${"9".repeat(100_000)}]`], [REFUSED, IGNORED]],
  ["a string of half a megabyte of escapes", [`2["note","${"\\u0000".repeat(80_000)}"]`], IGNORED],
  ["a lone surrogate", ['2["note","\\ud800"]'], [REFUSED, IGNORED]],
  ["an event named __proto__", ['2["__proto__",{"polluted":true}]'], IGNORED],
  ["an event named constructor", ['2["constructor","prototype"]'], IGNORED],
  ["an argument with a __proto__ key", ['2["note",{"__proto__":{"polluted":true}}]'], IGNORED],
  ["auth with a __proto__ key", ['0/custom,{"__proto__":{"polluted":true}}'], IGNORED],
  ["a namespace named /__proto__", ["0/__proto__,"], IGNORED],
  ["a namespace of 100,000 characters", [`0/${"x".repeat(100_000)},`], [REFUSED, IGNORED]],
  ["a namespace with a query", ["0/custom?a=b,"], IGNORED],
];

// The echo that tells the two apart: either the connection answers it, or it is gone.
const PROBE = '2777["echo","after"]';
const ANSWER = '3777["after"]';

async function overWebSocket(server, messages) {
  const ws = await RawWebSocket.join(server);
  for (const message of [...messages, PROBE]) await ws.send(typeof message === "string" ? "4" + message : message);
  try {
    while ((await ws.text()) !== "4" + ANSWER);
    ws.destroy();
    return IGNORED;
  } catch (error) {
    if (!/^closed/.test(error.message)) throw error;
    return REFUSED;
  }
}

async function overPolling(server, messages) {
  const polling = await RawPolling.join(server);
  const encode = (message) => (typeof message === "string" ? "4" + message : "b" + message.toString("base64"));
  const closed = (error) => {
    if (error.response?.status !== 400) throw error;
    return REFUSED;
  };
  try {
    const post = await polling.post([...messages, PROBE].map(encode).join("\x1e"));
    if (post.status !== 200) return post.status === 400 ? REFUSED : post.status;
    for (;;) {
      const got = await polling.packets();
      if (got.includes("1") || got.every((packet) => packet === "6")) return REFUSED;
      if (got.includes("4" + ANSWER)) break;
    }
  } catch (error) {
    return closed(error);
  }
  await polling.post("1");
  return IGNORED;
}

for (const [via, send] of [["websocket", overWebSocket], ["polling", overPolling]]) {
  describe(`hostile packets over ${via}`, () => {
    const server = useServer({ connectTimeout: "2s", pingInterval: "5s", pingTimeout: "5s" });
    const bystander = useBystander(server);

    for (const [name, messages, holdfast, node = holdfast] of packets) {
      test(name, { skip: isNode && node === DIES }, async () => {
        const outcome = await send(server, messages);
        const expected = [isNode ? node : holdfast].flat();
        assert.ok(expected.includes(outcome), `${outcome}, expected ${expected.join(" or ")}`);
        assert.equal(await bystander.echo(), "alive");
      });
    }

    test("after all of that the server is at rest", async () => {
      await bystander.unharmed();
      server.check();
    });
  });
}

describe("acks that somebody waits for", () => {
  const server = useServer();
  const bystander = useBystander(server);
  afterEach(() => bystander.unharmed());

  // A socket whose handler waits for the ack of a "question", with the id of it.
  async function questioned(ms = 60_000) {
    const ws = await RawWebSocket.join(server);
    await ws.send(`421["ask","?",${ms}]`);
    const [, id] = /^42(\d+)\["question","\?"\]$/.exec(await ws.text());
    return { ws, id };
  }

  test("43 with the pending id and nothing else", async () => {
    const { ws, id } = await questioned();
    await ws.send(`43${id}`);
    const answer = await ws.text().catch((error) => error.message);
    assert.match(answer, /^431\[\{("answer":null)?\}\]$|^closed/);
    ws.destroy();
  });

  test("43 with the pending id and an object ends the connection, and the handler with it", async () => {
    const { ws, id } = await questioned();
    await ws.send(`43${id}{"a":1}`);
    await ws.closed;
    await server.disconnectOf(ws.id);
  });

  test("the answer twice, and to other ids", async () => {
    const { ws, id } = await questioned();
    for (const other of [Number(id) + 1, Number(id) + 1000]) await ws.send(`43${other}["wrong"]`);
    await ws.send(`43${id}["right"]`);
    await ws.send(`43${id}["again"]`);
    assert.equal(await ws.text(), '431[{"answer":"right"}]');
    await ws.send('422["echo",1]');
    assert.equal(await ws.text(), "432[1]");
    ws.destroy();
  });

  test("a client cannot answer for another", async () => {
    const { ws, id } = await questioned(400);
    const other = await RawWebSocket.join(server);
    await other.send(`43${id}["mine"]`);
    await other.send('422["echo",1]');
    assert.equal(await other.text(), "432[1]");
    assert.equal(await ws.text(), '431[{"timeout":true}]');
    ws.destroy();
    other.destroy();
  });

  test("a binary ack with wrong placeholders", async () => {
    const { ws, id } = await questioned();
    await ws.send(`461-${id}[${placeholder(7)}]`);
    await ws.send(bytes);
    await ws.closed;
    await server.disconnectOf(ws.id);
  });

  test("a connection that asks for a thousand namespaces", async () => {
    const ws = await RawWebSocket.join(server);
    for (let n = 0; n < 1000; n++) await ws.send(`40/dynamic-${n},`);
    let joined = 0;
    let refused = 0;
    try {
      for (let n = 0; n < 1000; n++) (await ws.text()).startsWith("40/") ? joined++ : refused++;
    } catch (error) {
      assert.match(error.message, /^closed/);
    }
    if (!isNode) assert.ok(joined <= 200, `${joined} namespaces on one connection`);
    ws.destroy();
  });
});
