// A server that is killed by SIGKILL and started again: nobody misses anything that it had, and what a publisher was
// told to be kept is there.

import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { eventually } from "../js/lib/waiting.mjs";
import { App } from "./lib/app.mjs";
import { judge, settle } from "./lib/ledger.mjs";
import { end, Publisher, Subscriber } from "./lib/people.mjs";
import { randomness, sizes } from "./lib/sizes.mjs";
import { readLog, Stage } from "./lib/stage.mjs";

test("a server that is killed at random moments, under clients whose links are cut", async (t) => {
  const random = randomness(t);
  const app = await new App().start();
  t.after(() => end(app));
  const stage = await Stage.set(app, { random, clients: sizes.clients });
  stage.publish(sizes.rate);
  stage.cutLinks();
  for (let i = 0; i < sizes.kills; i++) {
    // From the thick of the reconnections to a time of rest.
    await pause(random() < 0.3 ? random.between(0, 500) : random.between(500, 5000));
    await app.kill();
    await pause(random.between(0, 1000));
    await app.start();
  }
  t.diagnostic(JSON.stringify(await stage.close()));
});

test("of all that was acknowledged before a kill, nothing is missing after it", async (t) => {
  const random = randomness(t);
  const app = await new App().start();
  t.after(() => end(app));
  const rooms = ["a", "b", "c", "d"];
  const reader = await Subscriber.arrive(app, { name: "reader" });
  await reader.subscribe(...rooms);
  const publishers = await Promise.all(rooms.map((room) => Publisher.arrive(app, { name: `publisher of ${room}` })));
  await Promise.all(publishers.map((publisher, i) => publisher.publish(rooms[i])));
  await eventually("the first events", () => reader.received.length === rooms.length);

  const over = new AbortController();
  const floods = publishers.map((publisher, i) => publisher.flood([rooms[i]], 16, over.signal, "x".repeat(200)));
  const acked = () => publishers.reduce((sum, publisher) => sum + publisher.count(publisher.acked), 0);
  for (let i = 0; i < sizes.ackKills; i++) {
    const before = acked();
    await eventually("publishers to be acknowledged again", () => acked() > before);
    await pause(random.between(0, 1500));
    await app.kill();
    await app.start();
  }
  const before = acked();
  await eventually("publishers to be acknowledged again", () => acked() > before);
  over.abort();
  await Promise.all(floods);
  await Promise.all([reader, ...publishers].map((person) => person.connected()));

  const log = await readLog(reader, rooms);
  const last = (room) => log.get(room).at(-1).offset;
  const complete = () => rooms.every((room) => reader.received.some(({ offset }) => offset === last(room)));
  await eventually("the reader to be up to date", complete, 60_000).catch(() => {}); // the judgement names what is missing
  settle(judge({ log, subscribers: [reader], publishers }), app);
  const open = publishers.reduce((sum, publisher) => sum + publisher.count(publisher.open), 0);
  t.diagnostic(JSON.stringify({ kills: sizes.ackKills, acked: acked(), open, kept: [...log.values()].flat().length }));
});
