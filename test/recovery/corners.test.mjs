// What the stock client does at the edges decides whether recovery is exact: it takes the last string of any event without
// an ack for its offset, has none before its first event, and keeps an old one beside a new session.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { eventually, within } from "../js/lib/waiting.mjs";
import { App, Own } from "./lib/app.mjs";
import { Scissors } from "./lib/scissors.mjs";
import { end, Person, Publisher, Subscriber } from "./lib/people.mjs";
import { randomness, sizes } from "./lib/sizes.mjs";
import { Stage } from "./lib/stage.mjs";

for (const durable of [false, true]) {
  test(`${durable ? "on disk" : "in memory"}: volatile events and events with an ack, whose last argument is a string`, async (t) => {
    const random = randomness(t);
    const server = await new Own({ durable }).start();
    t.after(() => end(server));
    const stage = await Stage.set(server, { random, clients: Math.ceil(sizes.clients / 2), rooms: 4, roomsEach: 2 });
    const whispers = new Map(stage.subscribers.map((s) => [s, []]));
    for (const s of stage.subscribers) {
      s.socket.on("whisper", (room, m) => whispers.get(s).push(m));
      s.socket.on("poll", (room, text, done) => done("yes"));
    }
    // What a client would take for its offset if the server let it: text, and an offset that is far behind.
    const spoilers = ["text", "", stage.reader.received[0].offset];
    const whisperer = await Person.arrive(server, { name: "whisperer" });
    const pollster = await Person.arrive(server, { name: "pollster" });
    stage.meanwhile(async (signal) => {
      for (let m = 0; !signal.aborted; m++) {
        const room = stage.rooms[m % stage.rooms.length];
        whisperer.socket.emit("whisper", room, "whisper", room, m, spoilers[m % spoilers.length]);
        if (m % 10 === 0) pollster.socket.emit("poll", room, "poll", room, spoilers[m % spoilers.length]);
        await pause(20);
      }
    });
    for (const s of stage.subscribers) {
      stage.meanwhile(async (signal) => {
        for (; !signal.aborted; await pause(50)) {
          if (s.socket.connected) s.socket.emit("mutter", "whisper", "me", -1, spoilers[0]);
        }
      });
    }
    stage.publish(2 * sizes.rate);
    stage.cutLinks({ every: 1500, shortest: 50, longest: 700 });
    await pause((sizes.seconds * 1000) / 3); // the scenario's length
    const figures = await stage.close();
    let heard = 0;
    for (const [s, list] of whispers) {
      const theirs = list.filter((m) => m >= 0);
      heard += theirs.length;
      assert.ok(theirs.every((m, i) => i === 0 || m > theirs[i - 1]), `${s.name}: volatile events doubled or out of order: ${theirs}`);
    }
    assert.ok(heard >= stage.subscribers.length, `only ${heard} volatile events were heard`);
    t.diagnostic(JSON.stringify({ ...figures, heard }));
  });
}

describe("a client that has had no event yet", () => {
  for (const via of ["websocket", "polling", "upgrade"]) {
    test(`${via}: has what was sent to its rooms, to it alone and to everyone meanwhile`, async (t) => {
      const server = await new Own().start();
      t.after(() => end(server));
      const publisher = await Publisher.arrive(server, { name: "publisher" });
      await publisher.ask("announce", "news", "all", -1); // before its time
      const client = await Subscriber.arrive(server, { name: "client", via });
      await client.join("room");
      const id = client.socket.id;
      await client.cut();
      assert.equal(client.socket._lastOffset, undefined);
      await publisher.publish("room");
      await publisher.publish("elsewhere");
      await publisher.ask("publish", id, "news", id, 1);
      await publisher.ask("announce", "news", "all", 2);
      assert.equal(await client.heal(), true, server.logTail);
      assert.equal(client.socket.id, id);
      await publisher.publish("room");
      await eventually("what came after", () => client.received.some(({ room, n }) => room === "room" && n === 1));
      assert.deepEqual(client.received.map(({ room, n }) => [room, n]), [["room", 0], [id, 1], ["all", 2], ["room", 1]]);
    });
  }

  test("a server that is killed does not change that", async (t) => {
    const app = await new App().start();
    t.after(() => end(app));
    const publisher = await Publisher.arrive(app, { name: "publisher" });
    const client = await Subscriber.arrive(app, { name: "client" });
    await client.join("room");
    await client.cut();
    assert.equal(await publisher.publish("room"), "acked");
    await app.kill();
    await app.start();
    await publisher.connected();
    assert.equal(await publisher.publish("room"), "acked");
    assert.equal(await client.heal(), true, app.logTail);
    await eventually("both events", () => client.received.length === 2);
    assert.deepEqual(client.received.map(({ n }) => n), [0, 1]);
  });
});

describe("a second drop right after a reconnection that was not recovered", () => {
  // Five events are more than the server hands over, so the first drop ends in a new session, beside which the client
  // keeps the old one's offset.
  async function unrecovered(server, { rejoin }) {
    const publisher = await Publisher.arrive(server, { name: "publisher" });
    const client = await Subscriber.arrive(server, { name: "client" });
    await client.join("room");
    await publisher.publish("room");
    await eventually("the first event", () => client.received.length === 1);
    await client.cut();
    for (let i = 0; i < 5; i++) await publisher.publish("room");
    assert.equal(await client.heal(), false);
    assert.equal(client.received.length, 1, "a part was handed over");
    if (rejoin) await client.join("room");
    return { publisher, client };
  }

  for (const durable of [false, true]) {
    test(`${durable ? "on disk" : "in memory"}: the events of the new session, and none of the gap before`, async (t) => {
      const server = await new Own({ durable, maxEvents: 3 }).start();
      t.after(() => end(server));
      const { publisher, client } = await unrecovered(server, { rejoin: true });
      await client.cut();
      for (let i = 0; i < 3; i++) await publisher.publish("room"); // 6, 7 and 8
      assert.equal(await client.heal(), true, server.logTail);
      await publisher.publish("room");
      await eventually("the last event", () => client.received.at(-1).n === 9);
      assert.deepEqual(client.received.map(({ n }) => n), [0, 6, 7, 8, 9]);
    });
  }

  test("before it could join anything: nothing of the rooms it was in before", async (t) => {
    const server = await new Own({ maxEvents: 3 }).start();
    t.after(() => end(server));
    const { publisher, client } = await unrecovered(server, { rejoin: false });
    await client.cut();
    await publisher.publish("room");
    assert.equal(await client.heal(), true, server.logTail);
    await client.join("room");
    await publisher.publish("room");
    await eventually("the last event", () => client.received.at(-1).n === 7);
    assert.deepEqual(client.received.map(({ n }) => n), [0, 7]);
  });

  test("many drops in a row, each before there was an event", async (t) => {
    const server = await new Own({ maxEvents: 3 }).start();
    t.after(() => end(server));
    const { publisher, client } = await unrecovered(server, { rejoin: true });
    for (let i = 0; i < 10; i++) {
      await client.cut();
      assert.equal(await client.heal(), true, `drop ${i}\n${server.logTail}`);
    }
    await client.cut();
    await publisher.publish("room");
    assert.equal(await client.heal(), true, server.logTail);
    await publisher.publish("room");
    await eventually("the last event", () => client.received.at(-1).n === 7);
    assert.deepEqual(client.received.map(({ n }) => n), [0, 6, 7]);
  });
});

test("rooms that were joined and left between two drops", async (t) => {
  const app = await new App().start();
  t.after(() => end(app));
  const publisher = await Publisher.arrive(app, { name: "publisher" });
  const client = await Subscriber.arrive(app, { name: "client" });
  const wanted = [];
  for (let i = 0; i < 12; i++) {
    const room = `room ${i % 4}`;
    const publish = async (is) => {
      const n = publisher.count(publisher.acked);
      assert.equal(await publisher.publish(room), "acked");
      if (is) wanted.push([room, n]);
    };
    await publish(false);
    await client.join(room);
    await publish(true);
    if (i % 3 === 0) await client.cut();
    if (i % 3 === 0) await publish(true);
    if (i % 6 === 0) {
      await app.kill();
      await app.start();
      await publisher.connected();
      await publish(true);
    }
    if (i % 3 === 0) assert.equal(await client.heal(), true, app.logTail);
    await publish(true);
    assert.deepEqual(await client.ask("leave", room), { ok: true });
    await publish(false);
  }
  await client.join("end");
  await publisher.publish("end");
  await eventually("the end", () => client.received.at(-1)?.room === "end");
  const counted = new Map();
  for (const e of client.received) counted.set(e.offset, (counted.get(e.offset) ?? 0) + 1);
  assert.ok([...counted.values()].every((n) => n === 1), "an event came twice");
  assert.deepEqual(client.received.slice(0, -1).map(({ room }) => room), wanted.map(([room]) => room));
});

test("binary events, events without arguments, and names that need escaping are handed over as they were", async (t) => {
  const app = await new App().start();
  t.after(() => end(app));
  const publisher = await Person.arrive(app, { name: "publisher" });
  const client = await Person.arrive(app, { name: "client" });
  await client.join("room");
  const got = [];
  client.socket.onAny((...args) => got.push(args.slice(0, -1)));
  const events = [
    ["bytes", Buffer.from([1, 2, 3]), { deep: [Buffer.alloc(70_000, 7)] }],
    ["nothing"],
    ['qu"ote\\', "\u2028 😀", null, [[]], { a: "x" }],
    ["string last", "text"],
    ["number", 1e21, -0.5, true],
  ];
  await client.cut();
  for (const event of events) assert.deepEqual(await publisher.ask("publish", "room", ...event), { ok: true });
  await app.kill();
  await app.start();
  assert.equal(await client.heal(), true, app.logTail);
  await eventually("all of them", () => got.length >= events.length);
  assert.deepEqual(got, events);
});

// The stock client keeps events that came before CONNECT over the loss of the connection, and asks for them again: CONNECT
// has to come first.
test("a link that breaks in the midst of what was missed", async (t) => {
  const app = await new App().start();
  t.after(() => end(app));
  const scissors = await Scissors.to(app);
  t.after(() => scissors.close());
  const publisher = await Publisher.arrive(app, { name: "publisher" });
  const client = await Subscriber.arrive(scissors, { name: "client" });
  await client.join("room");
  await publisher.publish("room");
  await eventually("the first event", () => client.received.length === 1);
  for (const place of ['40{"sid"', '42["news","room",8,', '42["news","room",11,']) {
    await client.cut();
    for (let i = 0; i < 5; i++) await publisher.publish("room"); // 1 to 5, 6 to 10, 11 to 15
    const broken = scissors.cutBefore(place, 2); // with the frame's header
    client.link.heal();
    await within(broken, `the server to send ${place}`);
    await client.connected();
    assert.equal(client.socket.recovered, true, app.logTail);
  }
  await publisher.publish("room");
  await eventually("the last event", () => client.received.at(-1).n === 16);
  assert.deepEqual(client.received.map(({ n }) => n), Array.from({ length: 17 }, (_, i) => i));
});

test("two namespaces on one connection are recovered each by itself", async (t) => {
  const app = await new App({ recovery__window: "1m" }).start();
  t.after(() => end(app));
  const auth = (name) => ({ name, key: `the secret key of ${name}` });
  const client = await Subscriber.arrive(app, { name: "client" });
  const chat = client.socket.io.socket("/chat", { auth: auth("Ada") });
  const messages = [];
  chat.on("message", ({ text }) => messages.push(text));
  await eventually("the chat", () => chat.connected);
  await client.join("room");
  const publisher = await Publisher.arrive(app, { name: "publisher" });
  const writer = await Person.arrive(app, { name: "writer", nsp: "/chat", auth: auth("Grace") });
  const say = (text) => writer.ask("message", { text, cid: text });
  await publisher.publish("room");
  await say("one");
  await eventually("the first of each", () => client.received.length === 1 && messages.length === 1);
  const ids = [client.socket.id, chat.id];
  await client.cut();
  await publisher.publish("room");
  await say("two");
  assert.equal(await client.heal(), true, app.logTail);
  await eventually("the chat again", () => chat.connected);
  assert.equal(chat.recovered, true, app.logTail);
  assert.deepEqual([client.socket.id, chat.id], ids);
  await publisher.publish("room");
  await say("three");
  await eventually("the last of each", () => client.received.at(-1).n === 2 && messages.at(-1) === "three");
  assert.deepEqual(client.received.map(({ n }) => n), [0, 1, 2]);
  assert.deepEqual(messages, ["one", "two", "three"]);
});
