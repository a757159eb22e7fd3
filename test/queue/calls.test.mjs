// What the calls of /queue promise to the stock client, on a whole server: order, other attempts, dead letters, bounds,
// who may come in; and the programs in the documentation.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { collect, eventually, next, settles, within } from "../js/lib/waiting.mjs";
import { App } from "../recovery/lib/app.mjs";
import { end } from "../recovery/lib/people.mjs";
import { Member } from "./lib/people.mjs";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

async function server(t, env = {}) {
  const app = await new App({ queues__min_backoff: "10ms", queues__max_backoff: "20ms", ...env }).start();
  t.after(() => end(app));
  return app;
}

const empty = (member, queue) => settles(`${queue} to be empty`, () => member.call("stats", queue), ({ messages }) => messages === 0);

test("a consumer that takes one at a time gets them in order, whatever is tried again", async (t) => {
  const app = await server(t);
  const worker = await Member.arrive(app);
  const count = 60;
  for (let i = 0; i < count; i++) await worker.call("publish", "jobs", i);
  const seen = [];
  worker.socket.on("message", ({ body, attempt }, done) => {
    seen.push(`${body}.${attempt}`);
    if (body % 10 === 3 && attempt < 3) done({ retry: body === 3 ? 50 : 0 });
    else done();
  });
  await worker.call("subscribe", "jobs", { consumer: "one" });
  await empty(worker, "jobs");
  const wanted = Array.from({ length: count }, (_, i) => (i % 10 === 3 ? [1, 2, 3] : [1]).map((attempt) => `${i}.${attempt}`));
  assert.deepEqual(seen, wanted.flat());
});

test("what can't be handled becomes a dead letter that says why", async (t) => {
  const app = await server(t, { queues__declare: "jobs ack_timeout=400ms max_attempts=2" });
  const [worker, watcher] = [await Member.arrive(app), await Member.arrive(app)];
  const attempts = {};
  worker.socket.on("message", ({ body, attempt }, done) => {
    attempts[body] = attempt;
    if (body === "rejected") done({ reject: "no such address" });
    if (body === "given back") done({ retry: 0 });
    if (body === "lost") worker.link.cut();
    // and of "silent" nothing is heard again
  });
  worker.socket.on("connect", () => worker.socket.emit("subscribe", "jobs", { consumer: "one", group: "g" }));
  await worker.call("subscribe", "jobs", { consumer: "one", group: "g" });
  const reasons = {
    rejected: "no such address",
    "given back": "gave up after its last retry",
    silent: "no answer in time",
    lost: "the consumer went",
  };
  for (const body of Object.keys(reasons)) await watcher.call("publish", "jobs", body, { id: body });
  await empty(watcher, "jobs");
  const { messages } = await watcher.call("peek", "jobs.dead");
  assert.deepEqual(
    messages.map(({ body, dead }) => [body, dead]),
    Object.entries(reasons).map(([body, reason], i) => [
      body,
      { queue: "jobs", seq: i + 1, group: "g", attempts: body === "rejected" ? 1 : 2, reason },
    ]),
  );
  assert.deepEqual(attempts, { rejected: 1, "given back": 2, silent: 2, lost: 2 });

  // They outlive the server, and can be worked on.
  await app.kill();
  await app.start();
  await watcher.connected();
  const letters = collect(watcher.socket, "message", 4);
  watcher.socket.on("message", (message, done) => done());
  await watcher.call("subscribe", "jobs.dead", { consumer: "undertaker" });
  assert.deepEqual((await letters).map(({ body }) => body), Object.keys(reasons));
  await empty(watcher, "jobs.dead");
});

test("a full queue refuses at its declared bound, and takes again what it has room for", async (t) => {
  const app = await server(t, { queues__declare: "few max_messages=10" });
  const member = await Member.arrive(app);
  const publish = (n) => member.ask("publish", "few", n, { id: `m${n}` });
  const answers = await Promise.all(Array.from({ length: 15 }, (_, i) => publish(i)));
  const codes = answers.map(({ ok, error }) => (ok ? "ok" : error.code));
  assert.deepEqual(codes, [...Array(10).fill("ok"), ...Array(5).fill("queue_full")]);
  assert.equal((await publish(3)).duplicate, true);
  assert.equal((await member.ask("publish", "many", 1)).ok, true); // the bound is of one queue

  await app.kill();
  await app.start();
  await member.connected();
  assert.equal((await publish(10)).error.code, "queue_full");
  const [, done] = await Promise.all([member.call("subscribe", "few", { consumer: "w" }), next(member.socket, "message").then(([, ack]) => ack)]);
  done();
  await settles("room for one", () => member.call("stats", "few"), ({ messages }) => messages === 9);
  assert.equal((await publish(10)).ok, true);
  assert.equal((await publish(11)).error.code, "queue_full");
  const { messages, refused } = await member.call("stats", "few");
  assert.deepEqual({ messages, refused }, { messages: 10, refused: 2 });
});

test("a delayed message comes when it is due, after a restart too, and its id is known meanwhile", async (t) => {
  const app = await server(t);
  const member = await Member.arrive(app);
  const before = Date.now();
  assert.deepEqual(await member.call("publish", "jobs", "late", { id: "x", delay: 1500 }), { ok: true });
  await app.kill();
  await app.start();
  await member.connected();
  assert.equal((await member.call("publish", "jobs", "late", { id: "x" })).duplicate, true);
  const message = next(member.socket, "message");
  await member.call("subscribe", "jobs", { consumer: "w" });
  assert.equal((await message)[0].body, "late");
  assert.ok(Date.now() - before >= 1400, "before it was due");
});

test("a body arrives as it was sent, binary too, over any transport", async (t) => {
  const app = await server(t);
  const body = { name: "å.png", none: null, parts: [Buffer.from([0, 1, 255]), Buffer.alloc(0)], n: 1.5, nested: [[{}]] };
  for (const via of ["websocket", "polling"]) {
    const member = await Member.arrive(app, { via });
    await member.call("publish", via, body);
    await member.call("subscribe", via, { consumer: "w" });
    const page = await member.call("peek", via);
    assert.deepEqual(page.messages[0].body, body);
    member.socket.disconnect().connect();
    const message = next(member.socket, "message");
    await member.call("subscribe", via, { consumer: "w" });
    assert.deepEqual((await message)[0].body, body);
  }
});

test("only those who know the token are let in", async (t) => {
  const app = await server(t, { queues__token: "secret" });
  const stranger = await Member.arrive(app, { wait: false, auth: { token: "Secret" } });
  const [error] = await next(stranger.socket, "connect_error");
  assert.equal(error.data.code, "forbidden");
  const member = await Member.arrive(app, { auth: { token: "secret" } });
  assert.deepEqual(await member.call("stats"), { queues: [] });
});

test("the publisher and the worker of the documentation do what it says", async (t) => {
  const app = await server(t);
  const page = fs.readFileSync(path.join(root, "docs/queues.md"), "utf8");
  const programs = [...page.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code.replace("http://localhost:3000", app.url));
  assert.ok(programs.length >= 2, "there is no publisher and no worker");
  const run = (code) => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", code], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => child.kill("SIGKILL"));
    const program = { child, out: "", over: new Promise((resolve) => child.on("close", resolve)) };
    child.stdout.setEncoding("utf8").on("data", (text) => (program.out += text));
    return program;
  };
  const [publisher, worker] = programs;
  for (const answer of ["{ ok: true, seq: 1 }\n", "{ ok: true, seq: 1, duplicate: true }\n"]) {
    const program = run(publisher);
    assert.equal(await within(program.over, "the publisher to end"), 0);
    assert.equal(program.out, answer);
  }
  const program = run(worker);
  const line = "order-7, attempt 1: { to: 'ada@example.com' }\n";
  await eventually("the worker to have it", () => program.out.length >= line.length);
  assert.equal(program.out, line);
  await empty(await Member.arrive(app), "mail");
});
