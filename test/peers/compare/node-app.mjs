// What the cases ask of a server, on Node's: the control. ../zishang/compare.go is the same on the other.
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { Server } from "socket.io";

const { values: flags } = parseArgs({
  options: {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "3000" },
    ping: { type: "string" },
    compare: { type: "boolean", default: false },
  },
});

const milliseconds = flags.ping && Number.parseInt(flags.ping, 10);
const http = createServer();
const io = new Server(http, milliseconds ? { pingInterval: milliseconds, pingTimeout: milliseconds } : {});

const numbers = [];
let firsts = 0;
let connected = 0;
const disconnected = new Map();

io.on("connection", (socket) => {
  socket.on("bcast", (payload) => io.emit("b", payload));
  socket.on("burst", (n, payload) => {
    for (let i = 0; i < n; i++) io.emit("b", i, payload);
  });
  socket.on("number", (n) => numbers.push(n));
  socket.on("numbers", (ack) => ack(numbers));
  socket.on("firsts", (ack) => ack(firsts));
  socket.on("size", (text, ack) => ack(text.length));
  socket.on("kick", () => socket.disconnect(true));
  socket.on("ask", () => socket.emit("question", () => {}));
  socket.on("ask remotely", async () => {
    for (const remote of await io.fetchSockets()) remote.timeout(100).emit("question", () => {});
  });
  socket.on("crowd", (ack) => ack({
    connected,
    disconnected: disconnected.size,
    twice: [...disconnected.values()].filter((n) => n > 1).length,
    room: io.of("/crowd").adapter.rooms.get("lobby")?.size ?? 0,
  }));
});

io.of("/slow").on("connection", (socket) => {
  // Nothing else runs in this process meanwhile, so a busy wait is what a slow handler is here.
  for (const end = performance.now() + 1; performance.now() < end;);
  socket.on("first", () => firsts++);
});

io.of("/crowd").on("connection", (socket) => {
  connected++;
  socket.join("lobby");
  socket.on("disconnect", () => disconnected.set(socket.id, (disconnected.get(socket.id) ?? 0) + 1));
});

http.listen(Number(flags.port), flags.host);
