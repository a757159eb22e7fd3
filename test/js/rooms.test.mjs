// Rooms and every broadcast operator, seen from stock clients.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ask, connect, connected, settled, TRANSPORTS } from "./lib/clients.mjs";
import { useServer } from "./lib/server.mjs";
import { next, parallel } from "./lib/waiting.mjs";

const server = useServer();

// Clients by name, each in the rooms given and recording what it hears.
async function people(rooms, via = "websocket") {
  const all = {};
  for (const [name, list] of Object.entries(rooms)) {
    const socket = await settled(server, { via });
    socket.heard = [];
    socket.on("news", (...args) => socket.heard.push(args.length === 1 ? args[0] : args));
    for (const room of list) await ask(socket, "join", room);
    all[name] = socket;
  }
  // Once each has been answered, whatever was broadcast before has arrived.
  all.heard = async () => {
    const named = Object.entries(all).filter(([, value]) => value.heard);
    await Promise.all(named.map(([, socket]) => ask(socket, "echo", 1)));
    return Object.fromEntries(named.map(([name, socket]) => [name, socket.heard.splice(0)]));
  };
  return all;
}

for (const via of TRANSPORTS) {
  test(`${via}: every operator reaches whom it should`, async () => {
    const p = await people({ ann: ["r1"], bob: ["r1", "r2"], cid: ["r2"], dot: [] }, via);
    const emit = (options) => server.control("emit", { event: "news", args: ["x"], ...options });
    const got = async () => Object.entries(await p.heard()).filter(([, heard]) => heard.length).map(([name, heard]) => name + heard.length);

    await emit({});
    assert.deepEqual(await got(), ["ann1", "bob1", "cid1", "dot1"], "everyone");
    await emit({ rooms: ["r1"] });
    assert.deepEqual(await got(), ["ann1", "bob1"], "one room");
    await emit({ rooms: ["r1", "r2"] });
    assert.deepEqual(await got(), ["ann1", "bob1", "cid1"], "two rooms, each client once");
    await emit({ rooms: ["r1"], except: ["r2"] });
    assert.deepEqual(await got(), ["ann1"], "a room but another");
    await emit({ except: ["r1"] });
    assert.deepEqual(await got(), ["cid1", "dot1"], "everyone but a room");
    await emit({ rooms: [p.dot.id] });
    assert.deepEqual(await got(), ["dot1"], "a socket's own room");
    await emit({ rooms: ["nobody here"] });
    assert.deepEqual(await got(), [], "an empty room");

    await ask(p.ann, "broadcast", "news", "x");
    assert.deepEqual(await got(), ["bob1", "cid1", "dot1"], "everyone but the sender");
    await ask(p.bob, "to", ["r1", "r2"], "news", "x");
    assert.deepEqual(await got(), ["ann1", "cid1"], "rooms but the sender");
    await ask(p.ann, "to except", ["r1", "r2"], ["r2"], "news", "x");
    assert.deepEqual(await got(), [], "rooms but the sender but a room");
    await ask(p.ann, "publish", "r1", "news", "x");
    assert.deepEqual(await got(), ["ann1", "bob1"], "a room with the sender");
  });
}

test("rooms are joined and left at once", async () => {
  const p = await people({ ann: [] });
  assert.deepEqual(await ask(p.ann, "rooms"), [p.ann.id]);
  await ask(p.ann, "join", "a");
  await ask(p.ann, "join", "a");
  await ask(p.ann, "join", "b");
  assert.deepEqual(await ask(p.ann, "rooms"), [p.ann.id, "a", "b"].sort());
  await ask(p.ann, "leave", "a");
  await ask(p.ann, "leave", "never joined");
  assert.deepEqual(await ask(p.ann, "rooms"), [p.ann.id, "b"].sort());
});

test("rooms of the same name in two namespaces are two rooms", async () => {
  const main = await connect(server);
  const other = await connected(main.io.socket("/custom"));
  await ask(main, "join", "shared");
  await ask(other, "join", "shared");
  const heard = [];
  main.on("news", () => heard.push("main"));
  other.on("news", () => heard.push("other"));
  await server.control("emit", { nsp: "/custom", rooms: ["shared"], event: "news" });
  await ask(main, "echo", 1);
  await ask(other, "echo", 1);
  assert.deepEqual(heard, ["other"]);
});

test("SocketsJoin, SocketsLeave, FetchSockets", async () => {
  const p = await people({ ann: ["fetch 1"], bob: ["fetch 1", "fetch 2"] });
  const ids = async (options) => (await server.control("fetchSockets", options)).map((s) => s.id).sort();
  assert.deepEqual(await ids({ rooms: ["fetch 1"] }), [p.ann.id, p.bob.id].sort());
  assert.deepEqual(await ids({ rooms: ["fetch 1"], except: ["fetch 2"] }), [p.ann.id]);
  await server.control("socketsJoin", { rooms: ["fetch 1"], names: ["fetch 3", "fetch 4"] });
  assert.deepEqual(await ids({ rooms: ["fetch 3"] }), [p.ann.id, p.bob.id].sort());
  assert.deepEqual(await ask(p.ann, "rooms"), [p.ann.id, "fetch 1", "fetch 3", "fetch 4"].sort());
  await server.control("socketsLeave", { rooms: ["fetch 2"], names: ["fetch 3"] });
  assert.deepEqual(await ids({ rooms: ["fetch 3"] }), [p.ann.id]);
  const [ann] = await server.control("fetchSockets", { rooms: [p.ann.id] });
  assert.deepEqual(ann.rooms, [p.ann.id, "fetch 1", "fetch 3", "fetch 4"].sort());
});

test("names that are no one's business but the user's", async () => {
  for (const room of ["", " ", "__proto__", "constructor", "é😀", "a,b", "x".repeat(1000), "\u0000"]) {
    const socket = await connect(server);
    await ask(socket, "join", room);
    const heard = next(socket, "news");
    await server.control("emit", { rooms: [room], event: "news", args: [room] });
    assert.deepEqual(await heard, [room]);
    await ask(socket, "leave", room);
    assert.deepEqual(await ask(socket, "rooms"), [socket.id]);
  }
});

test("200 clients that join and leave while others do lose no membership", async () => {
  const sockets = await parallel(200, 50, () => connect(server));
  await Promise.all(
    sockets.map(async (socket, i) => {
      for (let round = 0; round < 10; round++) {
        socket.emit("join", "churn");
        socket.emit("join", `churn ${i % 5}`);
        socket.emit("leave", "churn");
      }
      await ask(socket, "join", "churn");
    }),
  );
  assert.equal((await server.control("fetchSockets", { rooms: ["churn"] })).length, 200);
  for (let n = 0; n < 5; n++) assert.equal((await server.control("fetchSockets", { rooms: [`churn ${n}`] })).length, 40);
  let heard = 0;
  for (const socket of sockets) socket.on("news", () => heard++);
  await server.control("emit", { rooms: ["churn"], event: "news" });
  await Promise.all(sockets.map((socket) => ask(socket, "echo", 1)));
  assert.equal(heard, 200);
});
