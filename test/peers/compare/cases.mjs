// Each case runs against a fresh server and tells in a few words what came of it.
import { once } from "node:events";
import { request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";
import { RawClient } from "./raw.mjs";

async function client(server, path = "/", options = {}) {
  const socket = io(server.url + path, { transports: ["websocket"], forceNew: true, reconnection: false, ...options });
  await once(socket, "connect");
  return socket;
}

const within = (ms, promise) => Promise.race([promise, sleep(ms).then(() => undefined)]);
const ask = (socket, event, ...args) => socket.timeout(10_000).emitWithAck(event, ...args);

// quiet waits until value() has not changed for a second.
async function quiet(value) {
  for (let last = value(), since = Date.now(); Date.now() - since < 1000;) {
    await sleep(50);
    if (value() !== last) [last, since] = [value(), Date.now()];
  }
}

async function many(n, make) {
  const all = [];
  while (all.length < n) all.push(...await Promise.all(Array.from({ length: Math.min(25, n - all.length) }, make)));
  return all;
}

async function burst(server) {
  let received = 0;
  const sockets = await many(500, () => client(server));
  for (const s of sockets) s.on("b", () => received++);
  sockets[0].emit("burst", 200, "x".repeat(64));
  await quiet(() => received);
  sockets.forEach((s) => s.disconnect());
  return `${(100_000 - received).toLocaleString("en")} of 100,000 lost`;
}

async function order(server, n, pause) {
  const socket = await client(server);
  for (let i = 0; i < n; i++) {
    socket.emit("number", i);
    if (pause) await sleep(pause);
  }
  let numbers = [];
  for (let tries = 0; tries < 50 && numbers.length < n; tries++) {
    numbers = await ask(socket, "numbers");
    await sleep(20);
  }
  socket.disconnect();
  const late = numbers.filter((number, i) => i > 0 && number < numbers[i - 1]).length;
  return `${late} of ${n.toLocaleString("en")} come after a later one` + (numbers.length < n ? `, ${n - numbers.length} lost` : "");
}

async function first(server) {
  const control = await client(server);
  const sockets = await many(300, async () => {
    const socket = io(server.url + "/slow", { transports: ["websocket"], forceNew: true, reconnection: false });
    socket.on("connect", () => socket.emit("first"));
    await once(socket, "connect");
    return socket;
  });
  await sleep(1000);
  const handled = await ask(control, "firsts");
  [control, ...sockets].forEach((s) => s.disconnect());
  return `${300 - handled} of 300 never handled`;
}

async function largePolling(server) {
  const socket = await client(server, "/", { transports: ["polling"] });
  const size = await within(5000, socket.emitWithAck("size", "x".repeat(70_000)));
  socket.disconnect();
  return size === 70_000 ? "answered" : "never answered";
}

async function remoteAck(server) {
  const socket = await client(server);
  socket.on("question", (ack) => ack("answer"));
  socket.emit("ask remotely");
  const died = await server.diesWithin(1500);
  socket.disconnect();
  return died ? "the process dies" : "the process lives";
}

// What follows the packet is what its head announces; "43" answers a question of the server's.
async function shortPacket(server, packet) {
  const raw = await RawClient.open(server.port);
  raw.send("40");
  await raw.until(/40\{"sid"/);
  if (packet === "43") {
    raw.send('42["ask"]');
    const question = await raw.until(/42(\d+)\["question"\]/);
    if (!question) return "no question came";
    packet += question[1];
  }
  raw.send(packet);
  if (packet === "451-") raw.sendBinary("attachment");
  const died = await server.diesWithin(1000);
  raw.reset();
  return died ? "the process dies" : "the process lives";
}

async function endlessPost(server) {
  const target = { host: "127.0.0.1", port: server.port, path: "/socket.io/?EIO=4&transport=polling" };
  const open = await fetch(server.url + target.path).then((r) => r.text());
  const before = server.memory;
  let peak = before;
  const post = request({ ...target, method: "POST", path: `${target.path}&sid=${JSON.parse(open.slice(1)).sid}` });
  const outcome = new Promise((resolve) => {
    post.on("response", (r) => resolve(`answered ${r.statusCode}`)).on("error", () => resolve("connection closed"));
  });
  let sent = 0;
  let done = false;
  outcome.then(() => { done = true; });
  for (const chunk = Buffer.alloc(1 << 20, "x"); sent < 100 && !done; sent++) {
    if (!post.write(sent === 0 ? Buffer.concat([Buffer.from("4"), chunk.subarray(1)]) : chunk)) {
      await Promise.race([once(post, "drain").catch(() => {}), outcome, sleep(2000)]);
    }
    peak = Math.max(peak, server.memory);
  }
  if (!done) post.end();
  const result = await within(5000, outcome) ?? "no answer";
  peak = Math.max(peak, server.memory);
  post.destroy();
  return `${result} after ${sent} MB, ${Math.round(peak - before)} MB held`;
}

async function neverReads(server) {
  const raw = await RawClient.open(server.port);
  raw.send("40");
  await raw.until(/40\{"sid"/);
  raw.socket.pause();
  const socket = await client(server);
  const before = server.memory;
  const payload = "x".repeat(500_000);
  let received = 0;
  socket.on("b", () => received++);
  for (let i = 0; i < 500; i++) {
    socket.emit("bcast", payload);
    while (received < i - 5 && socket.connected) await sleep(1);
  }
  await quiet(() => received);
  const held = Math.round(server.memory - before);
  raw.reset();
  socket.disconnect();
  return `${held} MB held after 250 MB of broadcasts`;
}

async function kicked(server) {
  const reasons = {};
  for (let i = 0; i < 120; i++) {
    const socket = await client(server);
    socket.emit("kick");
    const [reason] = await within(2000, once(socket, "disconnect")) ?? ["none"];
    reasons[reason] = (reasons[reason] ?? 0) + 1;
    socket.disconnect();
  }
  return Object.entries(reasons).map(([reason, n]) => `"${reason}" ${n} times`).join(", ");
}

async function resets(server) {
  await many(1000, async () => {
    const raw = await RawClient.open(server.port);
    raw.send("40/crowd,");
    const ms = Math.random() * 4;
    if (ms >= 1) await sleep(ms);
    raw.reset();
  });
  // The heartbeat is short here: what is still there after several of them stays.
  await sleep(5000);
  const control = await client(server);
  const { connected, disconnected, twice, room } = await ask(control, "crowd");
  control.disconnect();
  return `${room} left in the room, ${connected - disconnected} of ${connected} never disconnect, ${twice} disconnect twice`;
}

export const cases = [
  ["200 broadcasts in one burst to 500 clients", burst],
  ["2,000 numbered events from one client", (s) => order(s, 2000, 0)],
  ["500 numbered events, one a millisecond", (s) => order(s, 500, 1)],
  ["first event on connect, connection handler takes 1 ms", first],
  ["70 KB payload from a polling client", largePolling],
  ["acked emit to a remote socket with a timeout", remoteAck],
  ["packet 42", (s) => shortPacket(s, "42")],
  ["packet 43<id>", (s) => shortPacket(s, "43")],
  ["packet 451- and its attachment", (s) => shortPacket(s, "451-")],
  ["100 MB chunked POST against a limit of 1 MB", endlessPost],
  ["a client that never reads", neverReads],
  ["disconnect(true): what the client sees, 120 times", kicked],
  ["1,000 clients that reset right after they connect", resets, "--ping", "1000ms"],
];
