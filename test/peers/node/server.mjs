// The bench application on Node's own server; see ../README.md.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { Server } from "socket.io";

const { values: flags } = parseArgs({
  options: {
    host: { type: "string", default: "127.0.0.1" },
    port: { type: "string", default: "3000" },
    recovery: { type: "boolean", default: false },
    data: { type: "string" },
    version: { type: "boolean", default: false },
  },
});

if (flags.version) {
  const { version } = createRequire(import.meta.url)("socket.io/package.json");
  console.log(`socket.io ${version}, Node ${process.versions.node}`);
  process.exit(0);
}

const http = createServer();
const io = new Server(http, flags.recovery ? { connectionStateRecovery: {} } : {});

io.on("connection", (socket) => {
  socket.on("echo", (...args) => {
    const ack = args.pop();
    ack(...args);
  });
  socket.on("join", (room, ack) => {
    socket.join(room);
    ack();
  });
  socket.on("room", (room, payload) => {
    io.to(room).emit("room", payload);
  });
  socket.on("bcast", (payload) => {
    io.emit("b", payload);
  });
  socket.on("burst", (n, payload) => {
    for (let i = 0; i < n; i++) io.emit("b", i, payload);
  });
});

http.listen(Number(flags.port), flags.host);
