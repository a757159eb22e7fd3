// How large a run is: small by default, as large as the bars of the project with FULL=1, and each size for itself from
// the environment (RECOVERY_CLIENTS=50). RECOVERY_SEED repeats the random choices of a run that failed.

const full = process.env.FULL === "1";

/** The size of that name in the environment, or the usual one, or the large one. */
export function number(name, usual, large = usual) {
  const text = process.env[name];
  if (text === undefined || text === "") return full ? large : usual;
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new Error(`${name}: not a number: ${text}`);
  return value;
}

export const sizes = {
  /** Clients whose links are cut. */
  clients: number("RECOVERY_CLIENTS", 40, 200),
  /** Events a second, all rooms together. */
  rate: number("RECOVERY_RATE", 20),
  /** How long links are cut, in seconds. */
  seconds: number("RECOVERY_SECONDS", 12, 60),
  /** How often the server is killed under the clients. */
  kills: number("RECOVERY_KILLS", 3, 10),
  /** How often it is killed under publishers that don't pause. */
  ackKills: number("RECOVERY_ACK_KILLS", 5, 20),
  /** How often it is stopped by SIGTERM and started again. */
  restarts: number("RECOVERY_RESTARTS", 2, 5),
  /** Clients whose links go silent, and how often. */
  silent: number("RECOVERY_SILENT", 10, 50),
  silentRounds: number("RECOVERY_SILENT_ROUNDS", 2, 5),
  /** The byte bound of a log, in MiB; ten times as much is published. */
  retentionMiB: number("RECOVERY_RETENTION_MIB", 8, 64),
  /** The file system that is filled up, in MiB. */
  diskMiB: number("RECOVERY_DISK_MIB", 32),
};

/** A source of random numbers from 0 to 1, the same ones for the same seed. */
export function randomness(t) {
  const seed = number("RECOVERY_SEED", Math.trunc(Math.random() * 2 ** 31));
  t.diagnostic(`RECOVERY_SEED=${seed}`);
  let state = seed;
  const random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
  random.between = (from, to) => from + random() * (to - from);
  return random;
}
