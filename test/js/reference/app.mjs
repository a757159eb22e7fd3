// The test application on Socket.IO: the same namespaces and events as testserver/app.go and events.go.

import { setTimeout as pause } from "node:timers/promises";

const callback = (args) => (typeof args.at(-1) === "function" ? args.pop() : () => {});

export function buildApp(io, ledger) {
  const track = (nsp, connect = () => {}) => {
    nsp.on("connection", (socket) => {
      ledger.connected(socket);
      socket.on("disconnecting", (reason) => ledger.disconnecting(socket, reason));
      socket.on("disconnect", (reason) => ledger.disconnected(socket, reason));
      listen(socket, ledger);
      return connect(socket);
    });
    return nsp;
  };

  track(io.of("/"));
  track(io.of("/custom"));

  // The connection handler takes its time. Socket.IO itself does not wait for it, so here it only marks the socket.
  track(io.of("/slow"), (socket) => {
    socket.data.ready = true;
  });

  track(io.of("/greeting"), (socket) => {
    socket.emit("hello", 1);
    socket.emit("hello", 2);
    socket.join("greeted");
    io.of("/greeting").to("greeted").emit("hello", 3);
  });

  // Everyone is in the room "crowd".
  track(io.of("/crowd"), (socket) => socket.join("crowd"));

  track(io.of("/turned-away"), (socket) => socket.disconnect());
  track(io.of("/thrown-out"), (socket) => socket.disconnect(true));

  track(
    io.of("/auth").use((socket, next) => {
      if (socket.handshake.auth.token === "secret") return next();
      next(Object.assign(new Error("not authorized"), { data: { code: "E_AUTH", retryAfter: 3 } }));
    }),
  );

  const chain = track(io.of("/chain"));
  for (const name of ["first", "second", "third"]) {
    chain.use(async (socket, next) => {
      await pause(5);
      socket.data.chain = [...(socket.data.chain ?? []), name];
      next(socket.handshake.auth.stopAt === name ? new Error(`stopped at ${name}`) : undefined);
    });
  }

  track(io.of("/filtered"), (socket) => {
    socket.use(([event, ...args], next) => {
      if (event !== "forbidden") return next();
      ledger.note(socket, "refused", event);
      callback(args)({ error: { code: "forbidden", message: "not that event" } });
    });
  });

  track(io.of("/catch-all"), (socket) => {
    socket.onAny((event) => ledger.note(socket, "incoming", event));
    socket.onAnyOutgoing((event) => ledger.note(socket, "outgoing", event));
  });

  track(io.of(/^\/dynamic-\d+$/));
  track(
    io.of((name, auth, next) => {
      if (!name.startsWith("/by-name-")) return next(null, false);
      next(null, auth.open === true);
    }),
  ).use((socket, next) => next(socket.handshake.auth.barred ? new Error("barred") : undefined));
}

// The events that every namespace answers.
function listen(socket, ledger) {
  const nsp = socket.nsp;
  const on = (event, handler) => socket.on(event, (...args) => handler(callback(args), ...args));

  socket.on("echo", (...args) => {
    if (typeof args.at(-1) === "function") args.pop()(...args);
    else socket.emit("echo", ...args);
  });

  socket.data.numbers = { count: 0, disorder: 0, last: -1, transports: [] };
  on("numbered", (ack, n) => {
    const numbers = socket.data.numbers;
    numbers.count++;
    if (n !== numbers.last + 1) numbers.disorder++;
    numbers.last = n;
    const transport = socket.conn.transport.name;
    if (!numbers.transports.includes(transport)) numbers.transports.push(transport);
    ack(n);
  });
  on("numbers", (ack) => ack(socket.data.numbers));
  on("count", (ack, to) => {
    for (let i = 0; i < to; i++) socket.emit("number", i);
    ack(to);
  });

  on("ready", (ack) => ack(nsp.name !== "/slow" || socket.data.ready === true));

  on("join", async (ack, room) => {
    await socket.join(room);
    ack({ ok: true });
  });
  on("leave", async (ack, room) => {
    await socket.leave(room);
    ack({ ok: true });
  });
  on("rooms", (ack) => ack([...socket.rooms].sort()));
  on("publish", (ack, room, event, ...args) => {
    nsp.to(room).emit(event, ...args);
    ack({ ok: true });
  });
  on("to", (ack, rooms, event, ...args) => {
    socket.to(rooms).emit(event, ...args);
    ack({ ok: true });
  });
  on("to except", (ack, rooms, except, event, ...args) => {
    socket.to(rooms).except(except).emit(event, ...args);
    ack({ ok: true });
  });
  on("broadcast", (ack, event, ...args) => {
    socket.broadcast.emit(event, ...args);
    ack({ ok: true });
  });

  on("ask", async (ack, question, ms) => {
    try {
      ack({ answer: await socket.timeout(ms).emitWithAck("question", question) });
    } catch (error) {
      ack({ timeout: true });
    }
  });
  on("block", async (ack, ms) => {
    await pause(ms);
    ack({ blocked: ms });
  });
  on("late ack", async (ack, ms) => {
    await pause(ms);
    ack("late");
  });
  on("ack twice", (ack) => {
    ack("first");
    ack("second");
  });
  on("never ack", () => {});
  on("ack from", (ack, attempt) => {
    const tries = (socket.data.tries = (socket.data.tries ?? 0) + 1);
    if (tries >= attempt) ack({ tries });
  });
  on("note", (ack, value) => {
    ledger.note(socket, "notes", value);
    ack({ ok: true });
  });

  on("bye", (ack, close) => {
    socket.emit("farewell", socket.id);
    socket.disconnect(close);
  });
  on("volatile", (ack, count) => {
    for (let i = 0; i < count; i++) socket.volatile.emit("perhaps", i);
    socket.emit("surely", count);
  });
  on("compress", (ack, on, text) => {
    socket.compress(on).emit("text", text);
    ack({ ok: true });
  });
  on("give binary", (ack, size) => {
    const bytes = (n) => Buffer.from(Array.from({ length: size }, (_, i) => (i + n) & 255));
    socket.emit("binary", { name: "nested", list: [bytes(0), { deep: bytes(1) }], bare: bytes(2) }, bytes(3));
    ack(bytes(4));
  });

  on("handshake", (ack) => {
    const h = socket.handshake;
    ack({
      auth: h.auth, query: h.query, headers: h.headers, address: h.address, secure: h.secure, url: h.url,
      issued: h.issued, transport: socket.conn.transport.name, id: socket.id, recovered: socket.recovered,
    });
  });
  on("data", (ack) => ack({ chain: socket.data.chain }));
}
