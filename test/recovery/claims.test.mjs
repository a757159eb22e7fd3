// Claims that are not to be honoured: private ids and offsets that are forged, foreign, truncated or of another log, and
// those that come too late or ask for too much. The answer is `recovered: false`, a session of the client's own, and
// nothing of anybody else's.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { eventually } from "../js/lib/waiting.mjs";
import { App, Own } from "./lib/app.mjs";
import { forged, takenApart } from "./lib/offsets.mjs";
import { end, Person, Publisher, Subscriber } from "./lib/people.mjs";

/** Someone with a session that is worth stealing: cut off, with an event waiting. */
async function victim(server, options) {
  const publisher = await Publisher.arrive(server, { name: "publisher" });
  const owner = await Subscriber.arrive(server, { name: "owner", ...options });
  await owner.join("secret");
  await publisher.publish("secret");
  await eventually("the first event", () => owner.received.length === 1);
  const stolen = { id: owner.socket.id, pid: owner.socket._pid, offset: owner.socket._lastOffset };
  return { publisher, owner, stolen };
}

/** A client that claims a session; with every packet it gets. */
async function claim(server, auth) {
  const thief = await Person.arrive(server, { name: "thief", auth, wait: false });
  const packets = [];
  thief.socket.io.on("packet", (packet) => packets.push(packet));
  await thief.connected();
  return { thief, packets };
}

async function nothingCame({ thief, packets }, stolen, what) {
  assert.equal(thief.socket.recovered, false, `${what}: recovered`);
  assert.equal(typeof thief.socket._pid, "string", `${what}: no session of its own`);
  assert.deepEqual(await thief.ask("history", "secret", {}).then(({ error }) => error?.code), "forbidden", `${what}: is in the room`);
  const seen = JSON.stringify(packets);
  for (const secret of [stolen.id, stolen.pid, '"news"']) assert.ok(!seen.includes(secret), `${what}: got ${seen}`);
}

describe("a claim that is not the client's", () => {
  test("forged, foreign, truncated, malformed: a new session, and the owner's stays whole", async (t) => {
    const app = await new App().start();
    t.after(() => end(app));
    const { publisher, owner, stolen } = await victim(app);
    await owner.cut();
    await publisher.publish("secret");
    const { pid, offset, id } = stolen;
    const { epoch, seq } = takenApart(offset);
    assert.equal(forged({ epoch, seq }), offset);
    const check = offset.slice(-4);
    const [e, s] = [epoch.toString(36), seq.toString(36)];
    await owner.heal();
    for (let i = 0; i < 40; i++) await publisher.publish("secret"); // so that a cut offset would be an earlier one
    await eventually("them", () => owner.received.length === 42);
    await owner.cut();
    await publisher.publish("secret");
    const newest = owner.socket._lastOffset;
    const chat = await Person.arrive(app, { nsp: "/chat", auth: { name: "Ada", key: "the secret key of Ada" } });
    const flip = (text, i) => text.slice(0, i) + (text[i] === "a" ? "b" : "a") + text.slice(i + 1);

    const claims = {
      "a private id of nobody": { pid: "A".repeat(pid.length), offset },
      "a private id that is off by one letter": { pid: flip(pid, pid.length - 1), offset },
      "a truncated private id": { pid: pid.slice(0, -1), offset },
      "a private id with more behind it": { pid: `${pid}x`, offset },
      "an empty private id": { pid: "", offset },
      "the public id": { pid: id, offset },
      "a private id of another namespace": { pid: chat.socket._pid, offset },
      "a private id that is a number": { pid: 12, offset },
      "a private id that is an array": { pid: [pid], offset },
      "a private id that is an object": { pid: { [pid]: pid }, offset },
      "a private id that is a path": { pid: `../${pid}`, offset },
      "a very long private id": { pid: pid.repeat(1000), offset },
      "an offset of another epoch": { pid, offset: forged({ epoch: epoch + 1n, seq }) },
      "an offset of the future": { pid, offset: forged({ epoch, seq: 10_000_000n }) },
      "an offset without a sequence": { pid, offset: `${e}-` },
      "an offset with a check alone": { pid, offset: `${e}-${check}` },
      "an offset without an epoch": { pid, offset: `-${s}${check}` },
      "half an offset": { pid, offset: offset.slice(0, 4) },
      "an offset with a sign": { pid, offset: `${e}-+${s}${check}` },
      "an offset with a zero before it": { pid, offset: `${e}-0${s}${check}` },
      "an offset in capitals": { pid, offset: `${e.toUpperCase()}-${s}${check}` },
      "an offset that is too large for a number": { pid, offset: `${e}-${"z".repeat(13)}${check}` },
      "an earlier offset with the check of a later": { pid, offset: `${e}-${s}${newest.slice(-4)}` },
      "an offset without its check": { pid, offset: newest.slice(0, -4) },
      "an offset off by one digit": { pid, offset: flip(newest, newest.length - 5) },
      ...Object.fromEntries([1, 2, 3, 5].map((n) => [`an offset truncated by ${n}`, { pid, offset: newest.slice(0, -n) }])),
      "an offset that is a number": { pid, offset: 1 },
      "an offset that is an object": { pid, offset: { $gt: "" } },
      "a very long offset": { pid, offset: offset.repeat(1000) },
      "an empty offset": { pid, offset: "" },
    };
    for (const [what, auth] of Object.entries(claims)) {
      const claimed = await claim(app, auth);
      await nothingCame(claimed, stolen, what);
      await claimed.thief.leave();
    }
    assert.equal(await owner.heal(), true, app.logTail);
    await publisher.publish("secret");
    await eventually("the rest", () => owner.received.length === 44);
    assert.deepEqual(owner.received.map(({ n }) => n), [...Array(44).keys()]);
  });

  for (const live of [true, false]) {
    test(`the private id of another user, whose connection is ${live ? "alive" : "lost"}`, async (t) => {
      const server = await new Own().start();
      t.after(() => end(server));
      const { publisher, owner, stolen } = await victim(server, { auth: { user: "ada" } });
      if (!live) await owner.cut();
      await publisher.publish("secret");
      for (const user of ["eve", "", undefined]) {
        const claimed = await claim(server, { user, pid: stolen.pid, offset: stolen.offset });
        await nothingCame(claimed, stolen, `user ${user}`);
        await claimed.thief.leave();
      }
      if (!live) assert.equal(await owner.heal(), true, server.logTail);
      await publisher.publish("secret");
      await eventually("the rest", () => owner.received.length === 3);
      assert.deepEqual(owner.received.map(({ n }) => n), [0, 1, 2]);
      assert.equal(owner.connects.length, live ? 1 : 2, "the owner was put out");
    });
  }

  test("a log that is another one since the restart", async (t) => {
    for (const durability of ["memory", "disk"]) {
      const app = await new App({ recovery__durability: durability }).start();
      t.after(() => end(app));
      const { publisher, owner } = await victim(app);
      await owner.cut();
      const fresh = durability === "disk" ? await new App().start() : app;
      if (fresh === app) {
        await app.kill();
        await app.start();
        await publisher.connected();
      } else {
        t.after(() => end(fresh));
        owner.link.target = fresh; // as if the data directory had been lost
      }
      const other = fresh === app ? publisher : await Publisher.arrive(fresh, { name: "publisher" });
      for (let i = 0; i < 3; i++) assert.equal(await other.publish("secret"), "acked"); // sequences that the old log had too
      assert.equal(await owner.heal(), false, `${durability}: recovered`);
      assert.deepEqual(owner.received.map(({ n }) => n), [0], durability);
      await owner.join("secret");
      const before = other.count(other.acked);
      await other.publish("secret");
      await eventually("an event of the new log", () => owner.received.length === 2);
      await owner.cut();
      await other.publish("secret");
      assert.equal(await owner.heal(), true, fresh.logTail);
      await eventually("what was missed", () => owner.received.length === 3);
      assert.ok(before > 0);
    }
  });

  test("recovery: false turns it off, in auth and in the query", async (t) => {
    const app = await new App().start();
    t.after(() => end(app));
    const publisher = await Person.arrive(app, { name: "publisher" });
    for (const options of [{ auth: { recovery: false } }, { query: { recovery: "false" } }]) {
      const client = await Person.arrive(app, { name: "client", ...options });
      const got = [];
      client.socket.on("plain", (...args) => got.push(args));
      await client.join("room");
      await publisher.ask("publish", "room", "plain", "text");
      await eventually("the event", () => got.length === 1);
      assert.deepEqual(got, [["text"]]);
      assert.equal(client.socket._pid, undefined);
      await client.cut();
      assert.equal(Boolean(await client.heal()), false);
      await client.leave();
    }
  });
});

describe("what is past its bounds", () => {
  test("the window: recovered within it, not after it", async (t) => {
    const window = 2000;
    const app = await new App({ recovery__window: `${window}ms` }).start();
    t.after(() => end(app));
    const publisher = await Publisher.arrive(app, { name: "publisher" });
    const client = await Subscriber.arrive(app, { name: "client" });
    await client.join("room");
    await publisher.publish("room");
    await eventually("the first event", () => client.received.length === 1);
    await client.cut();
    await publisher.publish("room");
    assert.equal(await client.heal(), true, app.logTail);
    await pause(2 * window); // a session that is in use has no window
    await client.cut();
    await publisher.publish("room");
    assert.equal(await client.heal(), true, app.logTail);
    await eventually("what was missed", () => client.received.length === 3);
    await client.cut();
    await publisher.publish("room");
    await pause(window + 1000);
    assert.equal(await client.heal(), false);
    await client.join("room");
    await publisher.publish("room");
    await eventually("the last event", () => client.received.at(-1).n === 4);
    assert.deepEqual(client.received.map(({ n }) => n), [0, 1, 2, 4]);
  });

  test("the window goes on while the server is stopped, and starts anew after a crash", async (t) => {
    const window = 2000;
    const app = await new App({ recovery__window: `${window}ms` }).start();
    t.after(() => end(app));
    for (const [end, recovered] of [["terminate", false], ["kill", true]]) {
      const client = await Subscriber.arrive(app, { name: "client" });
      client.link.refuse(); // no way back for now
      await app[end]();
      await pause(window + 500);
      await app.start();
      assert.equal(await client.heal(), recovered, `${end}\n${app.logTail}`);
      await client.leave();
    }
  });

  for (const [bound, env, args] of [
    ["max_missed_events", { recovery__max_missed_events: 20 }, []],
    ["max_missed_bytes", { recovery__max_missed_bytes: "64KiB" }, ["x".repeat(3000)]],
  ]) {
    test(`${bound}: as many are handed over, and of more not even a part`, async (t) => {
      const app = await new App(env).start();
      t.after(() => end(app));
      const publisher = await Publisher.arrive(app, { name: "publisher" });
      const client = await Subscriber.arrive(app, { name: "client" });
      await client.join("room");
      for (const [missed, recovered] of [[20, true], [22, false]]) {
        await client.cut();
        client.received.length = 0;
        const from = publisher.count(publisher.acked);
        for (let i = 0; i < missed; i++) await publisher.publish("room", ...args);
        assert.equal(await client.heal(), recovered, `${missed} missed\n${app.logTail}`);
        if (!recovered) await client.join("room");
        await publisher.publish("room");
        await eventually("the event after", () => client.received.at(-1)?.n === from + missed);
        const wanted = recovered ? Array.from({ length: missed + 1 }, (_, i) => from + i) : [from + missed];
        assert.deepEqual(client.received.map(({ n }) => n), wanted);
      }
    });
  }

  test("events that the log no longer holds", async (t) => {
    const app = await new App({ recovery__max_events: 100 }).start();
    t.after(() => end(app));
    const publisher = await Publisher.arrive(app, { name: "publisher" });
    const client = await Subscriber.arrive(app, { name: "client" });
    await client.join("room");
    await publisher.publish("room");
    await eventually("the first event", () => client.received.length === 1);
    await client.cut();
    for (let i = 0; i < 50; i++) await Promise.all(Array.from({ length: 20 }, () => publisher.publish("room")));
    const trimmed = async () => (await publisher.ask("history", "room", { after: client.socket._lastOffset })).error?.code === "trimmed";
    await publisher.join("room");
    await eventually("the log to be trimmed", trimmed, 60_000);
    assert.equal(await client.heal(), false);
    assert.deepEqual(client.received.map(({ n }) => n), [0]);
  });
});
