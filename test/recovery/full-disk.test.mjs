// A disk that fills up while the server runs, on a small file system of its own: what can't be kept is refused, nothing
// that was acknowledged is lost, everything else goes on, and it heals when there is room again.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { eventually } from "../js/lib/waiting.mjs";
import { App } from "./lib/app.mjs";
import { judge, settle } from "./lib/ledger.mjs";
import { end, Person, Publisher, Subscriber } from "./lib/people.mjs";
import { randomness, sizes } from "./lib/sizes.mjs";
import { readLog } from "./lib/stage.mjs";

const MiB = 1 << 20;
const WINDOW = 3000;
const BALLAST = (sizes.diskMiB * MiB * 3) / 8;

/** A file system in memory, or undefined where there may not be one. */
function mount(mib) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "holdfast-disk-"));
  const unmount = () => {
    try {
      execFileSync("umount", [dir], { stdio: "pipe" });
    } catch {
      execFileSync("umount", ["-l", dir], { stdio: "pipe" });
    }
    fs.rmdirSync(dir);
  };
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${mib}m`, "tmpfs", dir], { stdio: "pipe" });
  } catch {
    fs.rmdirSync(dir);
    return undefined;
  }
  return { dir, unmount };
}

/** A file that takes room away: `bytes`, or all that is left. */
class Ballast {
  constructor(dir) {
    this.name = path.join(dir, "ballast");
  }

  grow(bytes = Infinity) {
    const file = fs.openSync(this.name, "a");
    try {
      for (let size = MiB; bytes > 0 && size >= 4096; ) {
        try {
          bytes -= fs.writeSync(file, Buffer.alloc(Math.min(size, bytes)));
        } catch (error) {
          if (error.code !== "ENOSPC") throw error;
          size /= 2; // the last bit as well
        }
      }
    } finally {
      fs.closeSync(file);
    }
  }

  drop() {
    fs.rmSync(this.name, { force: true });
  }
}

/** Who isn't root may mount in a namespace of his own, where the kernel lets him: the exit code and output of this file run there. */
async function inNamespace() {
  const env = { ...process.env, RECOVERY_IN_NAMESPACE: "1", NODE_TEST_CONTEXT: undefined };
  const child = spawn("unshare", ["--user", "--map-root-user", "--mount", process.execPath, import.meta.filename], { env });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += text));
  const code = await new Promise((resolve) => child.on("error", () => resolve(undefined)).on("close", resolve));
  return { code, output };
}

test("a disk that is full", async (t) => {
  const disk = mount(sizes.diskMiB);
  if (!disk) {
    const inside = process.env.RECOVERY_IN_NAMESPACE ? undefined : await inNamespace();
    if (!inside?.output.includes(t.name)) return t.skip("no small file system can be mounted here");
    assert.equal(inside.code, 0, inside.output);
    if (/ # SKIP\b/.test(inside.output)) t.skip("no small file system can be mounted here");
    else t.diagnostic("run in a namespace of its own");
    return;
  }
  const random = randomness(t);
  const ballast = new Ballast(disk.dir);
  ballast.grow(BALLAST);
  const app = new App({ recovery__namespaces: "/", recovery__window: `${WINDOW}ms` }, path.join(disk.dir, "data"));
  const over = new AbortController();
  t.after(async () => {
    over.abort();
    ballast.drop();
    await end(app).finally(disk.unmount);
  });
  await app.start();

  const rooms = ["a", "b"];
  const reader = await Subscriber.arrive(app, { name: "reader" });
  await reader.subscribe(...rooms);
  const member = await Subscriber.arrive(app, { name: "member" });
  await member.subscribe(...rooms);
  const publishers = await Promise.all(rooms.map((room) => Publisher.arrive(app, { name: `publisher of ${room}` })));
  await Promise.all(publishers.map((publisher, i) => publisher.publish(rooms[i])));
  await eventually("the first events", () => reader.received.length === rooms.length);
  const count = (book) => publishers.reduce((sum, publisher) => sum + publisher.count(publisher[book]), 0);
  const another = async (book) => {
    const before = count(book);
    await eventually(`a publish to be ${book}`, () => count(book) > before, 60_000).catch((error) => {
      throw new Error(`${error.message}; ${JSON.stringify(Object.fromEntries(publishers[0].codes))}\n${app.logTail}`);
    });
  };
  const full = async () => {
    await another("refused");
    for (const { codes } of publishers) assert.deepEqual([...codes.keys()].filter((code) => code !== "store_full"), [], app.logTail);
    await eventually("/readyz to say why", async () => {
      const { ok, reasons } = await app.ready();
      return !ok && reasons.some((reason) => /^store: .*full/.test(reason));
    });
  };
  const healed = async () => {
    await another("acked");
    await eventually("/readyz to be well", async () => (await app.ready()).ok);
  };
  const flood = (signal, bytes) => {
    const body = randomBytes(bytes / 2).toString("hex");
    return Promise.all(publishers.map((publisher, i) => publisher.flood([rooms[i]], 8, signal, body)));
  };

  // Filled up by what is published: the store stops while there is a reserve left.
  const enough = new AbortController();
  t.after(() => enough.abort());
  const large = flood(enough.signal, 16 << 10);
  await full();
  enough.abort();
  await large;
  const small = flood(over.signal, 128); // what it adds leaves room to heal, however long this takes

  // What needs no log goes on.
  assert.equal(await member.ask("echo", "still here"), "still here");
  const newcomer = await Person.arrive(app, { name: "newcomer" });
  assert.equal(await newcomer.ask("echo", "let in"), "let in");
  assert.equal(newcomer.socket._pid, undefined, "a session that can't be kept was promised to be");
  const chat = (name) => Person.arrive(app, { name, nsp: "/chat", auth: { name, key: `the secret key of ${name}` } });
  const [ada, grace] = [await chat("Ada"), await chat("Grace")];
  const messages = [];
  grace.socket.on("message", ({ text }) => messages.push(text));
  assert.equal(typeof (await ada.ask("message", { text: "Hello", cid: "1" })).id, "string");
  await eventually("the message in a namespace without recovery", () => messages.length === 1);

  // A client that loses its link now, and whose departure can't be written, still has its window.
  await pause(WINDOW); // the server has been up for longer than that
  await member.cut();
  assert.equal(await member.heal(), true, app.logTail);

  ballast.drop();
  await healed();

  // Filled up by others, to the last byte, at any moment.
  for (let i = 0; i < 3; i++) {
    await pause(random.between(0, 500));
    ballast.grow();
    await full();
    await member.cut();
    assert.equal(await member.heal(), true, app.logTail);
    ballast.drop();
    await healed();
  }

  // Killed while it is full.
  ballast.grow();
  await full();
  await app.kill();
  ballast.drop();
  await app.start();
  await healed();

  // Stopped while it is full.
  ballast.grow();
  await full();
  await app.terminate();
  ballast.drop();
  await app.start();
  await healed();

  over.abort();
  await small;
  await Promise.all([reader, member, ...publishers].map((person) => person.connected()));
  const log = await readLog(reader, rooms);
  const complete = (s) => rooms.every((room) => s.received.some(({ offset }) => offset === log.get(room).at(-1).offset));
  await eventually("everyone to be up to date", () => complete(reader) && complete(member), 60_000).catch(() => {}); // judged
  settle(judge({ log, subscribers: [reader, member], publishers }), app);
  t.diagnostic(JSON.stringify({ acked: count("acked"), refused: count("refused"), open: count("open"), kept: [...log.values()].flat().length }));
});
