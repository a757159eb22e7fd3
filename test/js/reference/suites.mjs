// The two small servers that the official protocol suites expect.

import { Server as Engine } from "engine.io";

export const suiteOptions = { pingInterval: 300, pingTimeout: 200, maxHttpBufferSize: 1_000_000, cors: { origin: "*" } };

/** Engine.IO: everything is echoed. */
export function attachEcho(httpServer, options) {
  const engine = new Engine(options);
  engine.attach(httpServer, { path: "/engine.io/" });
  engine.on("connection", (socket) => socket.on("data", (...args) => socket.send(...args)));
  return engine;
}

/** Socket.IO: the auth payload is told back, messages are answered. */
export function buildSocketSuite(io) {
  io.on("connection", (socket) => {
    socket.emit("auth", socket.handshake.auth);
    socket.on("message", (...args) => socket.emit("message-back", ...args));
    socket.on("message-with-ack", (...args) => args.pop()(...args));
  });
  io.of("/custom").on("connection", (socket) => socket.emit("auth", socket.handshake.auth));
}
