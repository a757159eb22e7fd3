// Links that go silent: nothing passes any more and nobody is told, as when a phone changes networks. The client comes
// back on a new path long before the server could notice that the old one is dead.

import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, next } from "../js/lib/waiting.mjs";
import { App } from "./lib/app.mjs";
import { judge, settle } from "./lib/ledger.mjs";
import { end, Publisher, Subscriber } from "./lib/people.mjs";
import { sizes } from "./lib/sizes.mjs";
import { readLog } from "./lib/stage.mjs";

for (const via of ["websocket", "polling"]) {
  test(`${via}: silent clients take up their sessions on a new path, and the old connections go`, async (t) => {
    const app = await new App({ ping_interval: "300s" }).start(); // no heartbeat clears the old ones away
    t.after(() => end(app));
    const publisher = await Publisher.arrive(app, { name: "publisher" });
    const reader = await Subscriber.arrive(app, { name: "reader" });
    await reader.subscribe("room");
    const silent = [];
    for (let i = 0; i < sizes.silent; i++) {
      const subscriber = await Subscriber.arrive(app, { name: `client ${i}`, via });
      await subscriber.subscribe("room");
      silent.push(subscriber);
    }
    assert.equal(await publisher.publish("room"), "acked");
    const people = sizes.silent + 2;
    await app.figureWhen("holdfast_sessions", (n) => n === people);

    for (let round = 0; round < sizes.silentRounds; round++) {
      for (const { link } of silent) link.stall();
      for (let i = 0; i < 5; i++) assert.equal(await publisher.publish("room"), "acked"); // into the void
      await Promise.all(
        silent.map(async ({ name, link, socket }) => {
          const back = next(socket, "connect");
          socket.io.engine.close(); // the client gives the old path up; its goodbye is stuck in there as well
          link.heal();
          await back;
          assert.equal(socket.recovered, true, `${name} in round ${round}\n${app.logTail}`);
        }),
      );
      for (let i = 0; i < 5; i++) assert.equal(await publisher.publish("room"), "acked");
      await app.figureWhen("holdfast_sessions", (n) => n === people, 5000);
      await app.figureWhen("holdfast_sockets", (n) => n === people, 5000);
    }

    const log = await readLog(reader, ["room"]);
    const last = log.get("room").at(-1).offset;
    await eventually("everyone to have the last event", () => silent.every((s) => s.received.at(-1)?.offset === last)).catch(() => {});
    settle(judge({ log, subscribers: [...silent, reader], publishers: [publisher] }), app);
  });
}

test("a session that two connections claim at once goes to one of them", async (t) => {
  const app = await new App().start();
  t.after(() => end(app));
  const publisher = await Publisher.arrive(app, { name: "publisher" });
  const owner = await Subscriber.arrive(app, { name: "owner" });
  await owner.subscribe("room");
  assert.equal(await publisher.publish("room"), "acked");
  await eventually("the first event", () => owner.received.length === 1);
  const { _pid: pid, _lastOffset: offset } = owner.socket;
  owner.link.stall();
  assert.equal(await publisher.publish("room"), "acked");
  const claimants = await Promise.all(
    Array.from({ length: 5 }, (_, i) =>
      Subscriber.arrive(app, { name: `claimant ${i}`, auth: { pid, offset }, reconnection: false, wait: false }),
    ),
  );
  // Each takes the session over from the one before, which is closed; the last one keeps it.
  await eventually("one to be left", async () => claimants.filter(({ socket }) => socket.connected).length === 1);
  await app.figureWhen("holdfast_sockets", (n) => n === 2, 10_000);
  const [keeper] = claimants.filter(({ socket }) => socket.connected);
  assert.equal(await publisher.publish("room"), "acked");
  await eventually("what was missed and what came", () => keeper.received.length >= 2);
  assert.deepEqual(keeper.received.map(({ n }) => n), [1, 2]);
});
