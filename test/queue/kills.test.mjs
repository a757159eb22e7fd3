// A server that is killed by SIGKILL and started again, under publishers that insist and workers that die: each group
// handles every message, none comes again once its done is durable, and none is stored twice.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { eventually, settles } from "../js/lib/waiting.mjs";
import { App } from "../recovery/lib/app.mjs";
import { end } from "../recovery/lib/people.mjs";
import { randomness } from "../recovery/lib/sizes.mjs";
import { judge, judgeOrder, settle } from "./lib/ledger.mjs";
import { Fence, Publisher, Worker } from "./lib/people.mjs";
import { sizes } from "./lib/sizes.mjs";

const CATCH_UP = 120_000;

test("a server that is killed at random moments, under workers that are killed too", async (t) => {
  const random = randomness(t);
  // No attempt may end but by a death, and no message may become a dead letter by many of them.
  const app = await new App({
    queues__ack_timeout: "2m",
    queues__max_attempts: 1000,
    queues__min_backoff: "50ms",
    queues__max_backoff: "200ms",
    log__level: "info",
  }).start();
  t.after(() => end(app));
  const fence = await Fence.arrive(app, { name: "fence" });
  const workers = [];
  for (let i = 0; i < sizes.workers; i++) {
    const prefetch = i % 4 < 2 ? 1 : 10;
    workers.push(
      await Worker.start(app, { queue: "jobs", consumer: `w${i}`, group: `g${i % 2}`, prefetch, longest: 60, random, fence }),
    );
  }
  const alone = await Worker.start(app, { queue: "steps", consumer: "alone", prefetch: 1, longest: 5, random, fence });
  workers.push(alone);
  await eventually("every group to be there", async () => {
    const { queues } = await fence.call("stats");
    if (!queues.includes("jobs") || !queues.includes("steps")) return false;
    return (await fence.call("stats", "jobs")).groups.length === 2 && (await fence.call("stats", "steps")).groups.length === 1;
  });

  const over = new AbortController();
  const publishers = [];
  for (let i = 0; i < sizes.publishers; i++) publishers.push(await Publisher.arrive(app, { name: `p${i}` }));
  const publishing = publishers.map((p) => p.steady("jobs", random, sizes.pause, over.signal));
  publishing.push(publishers[0].steady("steps", random, sizes.pause, over.signal));
  const following = fence.follow(["jobs", "steps"], over.signal);
  const dying = workers.map((worker) => worker.mortal(over.signal));
  const acked = () => publishers.reduce((sum, p) => sum + [...p.acked.values()].reduce((n, ids) => n + ids.size, 0), 0);
  for (let i = 0; i < sizes.kills; i++) {
    const before = acked();
    await eventually("publishers to be acknowledged again", () => acked() > before, 60_000);
    await pause(random() < 0.3 ? random.between(0, 300) : random.between(300, 2500));
    await app.kill();
    await pause(random.between(0, 500));
    await app.start();
  }
  await pause(1000);
  over.abort();
  await Promise.all([...publishing, ...dying, following]);
  await Promise.all([...workers, fence].map((person) => person.connected()));

  const drained = (queue) =>
    settles(`${queue} to be empty`, () => fence.call("stats", queue), ({ messages }) => messages === 0, CATCH_UP);
  const late = Promise.all([drained("jobs"), drained("steps")]);
  await late.catch(() => {}); // the judgement names what is missing
  const judged = ["jobs", "steps"].flatMap((queue) => judge({ queue, publishers, workers }));
  settle([...judged, ...judgeOrder(alone)], app);
  const [jobs, steps] = await late;
  const count = (queue) => publishers.reduce((sum, p) => sum + (p.acked.get(queue)?.size ?? 0), 0);
  assert.equal(jobs.head, count("jobs"), "more is stored than was published");
  assert.equal(steps.head, count("steps"), "more is stored than was published");
  assert.deepEqual((await fence.call("stats")).queues.filter((name) => name.endsWith(".dead")), []);
  assert.ok(fence.moves > 0, "no done was ever known to be durable");
  app.check();

  const sum = (list, f) => list.reduce((total, item) => total + f(item), 0);
  t.diagnostic(
    JSON.stringify({
      kills: sizes.kills,
      deaths: sum(workers, (w) => w.deaths),
      acked: acked(),
      tries: sum(publishers, (p) => p.tries),
      duplicates: sum(publishers, (p) => p.duplicates),
      deliveries: sum(workers, (w) => w.deliveries.length),
      again: sum(workers, (w) => w.deliveries.filter(({ attempt }) => attempt > 1).length),
      dones: sum(workers, (w) => w.deliveries.filter(({ done }) => done).length),
      fences: fence.moves,
    }),
  );
});
