// A log keeps near its byte bound on disk, however much is published.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { eventually } from "../js/lib/waiting.mjs";
import { App } from "./lib/app.mjs";
import { end, Publisher, Subscriber } from "./lib/people.mjs";
import { sizes } from "./lib/sizes.mjs";

const MiB = 1 << 20;

test("ten times the bound is published: the data directory stays below 1.2 times of it", async (t) => {
  const bound = sizes.retentionMiB * MiB;
  const limit = 1.2 * bound;
  const app = await new App({ recovery__max_bytes: bound }).start();
  t.after(() => end(app));
  const publisher = await Publisher.arrive(app, { name: "publisher" });
  const reader = await Subscriber.arrive(app, { name: "reader" });
  const idle = app.size;

  const body = randomBytes(64 << 10); // nothing that could be compressed
  const over = new AbortController();
  let peak = 0;
  const watch = setInterval(() => (peak = Math.max(peak, app.size)), 100);
  t.after(() => {
    over.abort();
    clearInterval(watch);
  });
  const flood = publisher.flood(["a", "b", "c"], 24, over.signal, body);
  const published = () => publisher.count(publisher.acked) * body.length;
  await eventually("ten times the bound to be published", () => published() >= 10 * bound, 600_000);
  over.abort();
  await flood;
  assert.equal(publisher.count(publisher.refused) + publisher.count(publisher.open), 0, "a publish was not acknowledged");

  clearInterval(watch);
  const size = app.size;
  peak = Math.max(peak, size);
  const times = (bytes) => +(bytes / bound).toFixed(3);
  t.diagnostic(JSON.stringify({ bound, published: published(), idle, peakOfBound: times(peak), inTheEnd: times(size) }));
  assert.ok(peak <= limit, `${times(peak)} times the bound on disk\n${app.logTail}`);

  // What is kept is the newest, without a hole, and by far most of the bound.
  await publisher.publish("a");
  await reader.subscribe("a", "b", "c");
  for (const room of ["a", "b", "c"]) {
    const newest = await reader.ask("history", room, { limit: 10 });
    assert.ok(newest.events, JSON.stringify(newest));
    const numbers = newest.events.map(({ args }) => args[1]);
    const last = Math.max(...publisher.acked.get(room));
    assert.deepEqual(numbers, Array.from({ length: numbers.length }, (_, i) => last - numbers.length + 1 + i), `the newest of ${room}`);
    assert.ok(numbers.length > 0 && newest.more, "no older ones are kept");
  }
  assert.ok(size > bound / 3, `only ${size} bytes are left of a bound of ${bound}`);

  // The same after a crash.
  await app.kill();
  await app.start();
  assert.ok(app.size <= limit, `${app.size} bytes after a restart`);
});
