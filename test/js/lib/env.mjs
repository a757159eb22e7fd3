// What a run may change from outside: which server is driven, and how large the large tests are: with FULL=1 as large as
// the bars of the project, and each size for itself by its name.

const full = process.env.FULL === "1";

const number = (name, usual, large = usual) => {
  const text = process.env[name];
  if (text === undefined || text === "") return full ? large : usual;
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new Error(`${name}: not a number: ${text}`);
  return value;
};

/** "holdfast" drives the Go test server; "node" drives reference/, to prove a test against Socket.IO itself. */
export const target = process.env.TEST_TARGET ?? "holdfast";
if (target !== "holdfast" && target !== "node") throw new Error(`TEST_TARGET: ${target}: want holdfast or node`);

export const isNode = target === "node";

/** Option for a test whose promise is Holdfast's own: skipped against Node, with the reason. */
export const holdfastOnly = (why) => ({ skip: isNode ? `Holdfast's own promise: ${why}` : false });

export const scale = {
  /** How often the burst of 100,000 deliveries is repeated. */
  burstRuns: number("HOLDFAST_BURST_RUNS", 2, 10),
  /** How long the blocking handler blocks, in milliseconds. */
  blockMs: number("HOLDFAST_BLOCK_MS", 5000, 60_000),
  /** Numbered events from one client. */
  numbered: number("HOLDFAST_NUMBERED", 10000),
  /** Clients that reset their connection around CONNECT. */
  resets: number("HOLDFAST_RESETS", 2000),
  /** Connections that are opened and then say nothing. */
  idleSockets: number("HOLDFAST_IDLE_SOCKETS", 10000),
  /** Connects and disconnects of the leak check, for each transport. */
  leakRounds: number("HOLDFAST_LEAK_ROUNDS", 500),
};
