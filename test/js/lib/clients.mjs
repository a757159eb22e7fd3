// Stock Socket.IO clients, closed again after each test.

import { afterEach } from "node:test";
import { io } from "socket.io-client";
import { next, within } from "./waiting.mjs";

/** The three ways a stock client talks to a server. */
export const TRANSPORTS = ["polling", "websocket", "upgrade"];

const transportOptions = {
  polling: { transports: ["polling"] },
  websocket: { transports: ["websocket"] },
  upgrade: { transports: ["polling", "websocket"], upgrade: true },
};

const open = new Set();

afterEach(() => {
  for (const socket of open) {
    socket.io.reconnection(false);
    socket.disconnect();
    socket.io.engine?.close();
  }
  open.clear();
});

/**
 * A stock client that is not yet known to be connected. `nsp` is the namespace; `via` one of TRANSPORTS; whatever else
 * is given goes to io() as it is. Reconnection is off unless asked for: a connection that is lost by mistake must fail.
 */
export function client(server, { nsp = "/", via = "websocket", ...options } = {}) {
  const socket = io(server.url + nsp, {
    forceNew: true,
    reconnection: false,
    ...transportOptions[via],
    ...options,
  });
  open.add(socket);
  return socket;
}

/** Resolves once the socket is connected; a refusal is thrown. */
export function connected(socket, ms) {
  if (socket.connected) return Promise.resolve(socket);
  return within(
    new Promise((resolve, reject) => {
      socket.once("connect", () => resolve(socket));
      socket.once("connect_error", reject);
    }),
    "the connection",
    ms,
  );
}

/** A connected client. */
export const connect = (server, options) => connected(client(server, options));

/** Resolves once the client's transport is a websocket. */
export async function upgraded(socket) {
  if (socket.io.engine.transport.name !== "websocket") await next(socket.io.engine, "upgrade");
  return socket;
}

/** A client that is connected and, with via "upgrade", has left polling. */
export async function settled(server, options = {}) {
  const socket = await connect(server, options);
  return options.via === "upgrade" ? upgraded(socket) : socket;
}

/** Why and with what details the client lost its connection: { reason, details }. */
export async function disconnected(socket, ms) {
  const [reason, details] = await next(socket, "disconnect", ms);
  return { reason, details };
}

/** The error with which the server refuses the client. */
export async function refused(socket, ms) {
  const won = () => new Error("the client was let in");
  return within(
    new Promise((resolve, reject) => {
      socket.once("connect_error", resolve);
      socket.once("connect", () => reject(won()));
    }),
    "the refusal",
    ms,
  );
}

/** emitWithAck that fails with the event's name when no ack comes. */
export const ask = (socket, event, ...args) => within(socket.emitWithAck(event, ...args), `the ack of "${event}"`, 60_000);
