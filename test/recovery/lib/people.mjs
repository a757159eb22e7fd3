// Who takes part: stock clients that subscribe to rooms, publish to them, or read their history, each behind a link of
// its own that a test can cut. What they saw is kept for ledger.mjs to judge.

import { setTimeout as pause } from "node:timers/promises";
import { io } from "socket.io-client";
import { Proxy } from "../../js/lib/proxy.mjs";
import { eventually, next, within } from "../../js/lib/waiting.mjs";

const LIMIT = 60_000; // a busy machine and the race detector are slow; what takes longer is lost

const transports = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };

const everyone = new Set();

/**
 * Ends a server, then every client and link. In this order the clients hang up when they are told to; a polling client that
 * is gone before would be waited for.
 */
export async function end(server) {
  try {
    await server.stop();
  } finally {
    await Promise.all([...everyone].map((person) => person.leave()));
  }
}

/** A stock client that reconnects by itself, behind a link of its own. */
export class Person {
  /** `options` go to io() as they are. */
  static async arrive(server, { via = "websocket", nsp = "/", name = "client", wait = true, ...options } = {}) {
    const person = new this();
    person.name = name;
    person.via = via;
    person.link = await Proxy.to(server);
    person.socket = io(person.link.url + nsp, {
      forceNew: true,
      transports: transports[via],
      reconnectionDelay: 50,
      reconnectionDelayMax: 500,
      ...options,
    });
    everyone.add(person);
    person.watch();
    if (wait) await person.connected();
    return person;
  }

  /** Times at which it connected, and whether it was recovered. The first is the beginning. */
  connects = [];

  watch() {
    this.socket.on("connect", () => this.connects.push({ at: new Date().toISOString(), recovered: this.socket.recovered }));
  }

  /** Resolves when it is connected, now or some time later. */
  connected(ms = LIMIT) {
    return eventually(`${this.name} to be connected`, () => this.socket.connected, ms);
  }

  /** Cuts the link with a reset; it stays down until it is healed. Resolves once the client has noticed. */
  async cut() {
    const gone = this.socket.connected ? next(this.socket, "disconnect", LIMIT) : undefined;
    this.link.refuse();
    this.link.cut();
    await gone;
  }

  /** Heals the link. Resolves once the client is connected again, with whether it was recovered. */
  async heal(ms = LIMIT) {
    const back = this.socket.connected ? undefined : next(this.socket, "connect", ms);
    this.link.heal();
    await back;
    return this.socket.recovered;
  }

  /** Cuts the link again and again, for a random time each, until the signal. */
  async unsteady(random, signal, { every = 5000, shortest = 500, longest = 3000 } = {}) {
    const rest = (ms) => pause(ms, undefined, { signal }).catch(() => {});
    for (let wait = random.between(0, every); ; ) {
      await rest(wait);
      if (signal.aborted) break;
      const down = random.between(shortest, longest);
      this.link.refuse();
      this.link.cut();
      this.cuts++;
      await rest(down);
      this.link.heal();
      wait = every - down;
    }
  }

  cuts = 0;

  /** An ack, or an error that names the event. */
  ask(event, ...args) {
    return within(this.socket.emitWithAck(event, ...args), `the ack of "${event}" to ${this.name}`, LIMIT);
  }

  async join(...rooms) {
    for (const room of rooms) {
      const answer = await this.ask("join", room);
      if (answer.ok !== true) throw new Error(`${this.name} could not join ${room}: ${JSON.stringify(answer)}`);
    }
  }

  /** The room's events after an offset: [{ offset, event, args }]. */
  async history(room, after) {
    const events = [];
    for (;;) {
      const page = await this.ask("history", room, { after, limit: 500 });
      if (page.error) throw new Error(`history of ${room} after ${after}: ${JSON.stringify(page.error)}`);
      events.push(...page.events);
      if (!page.more) return events;
      after = page.events.at(-1).offset;
    }
  }

  async leave() {
    everyone.delete(this);
    this.socket.io.reconnection(false);
    this.socket.disconnect();
    await this.link.close();
  }
}

/** Notes every "news" of its rooms: news(room, n), published by Publisher. */
export class Subscriber extends Person {
  rooms = [];
  /** [{ room, n, offset }] in order of arrival. */
  received = [];

  watch() {
    super.watch();
    this.socket.on("news", (room, n, ...rest) => this.received.push({ room, n, offset: rest.at(-1) }));
  }

  async subscribe(...rooms) {
    await this.join(...rooms);
    this.rooms.push(...rooms);
  }
}

/**
 * Publishes numbers to rooms that are its own, each number once: it never tries again, so that what was not acknowledged
 * is in the log once or not at all.
 */
export class Publisher extends Person {
  #next = new Map();
  /** Numbers by room: acknowledged, refused with an error, and without an answer. */
  acked = new Map();
  refused = new Map();
  open = new Map();
  /** The codes of the errors, each with how often it came. */
  codes = new Map();

  /** Resolves when there is an answer or none will come, with "acked", "refused" or "open". */
  async publish(room, ...args) {
    const n = this.#next.get(room) ?? 0;
    this.#next.set(room, n + 1);
    let outcome = "open";
    try {
      const answer = await this.ask("publish", room, "news", room, n, ...args);
      outcome = answer.ok === true ? "acked" : "refused";
      if (answer.error) this.codes.set(answer.error.code, (this.codes.get(answer.error.code) ?? 0) + 1);
    } catch {
      // the connection was lost before the answer
    }
    const book = this[outcome];
    if (!book.has(room)) book.set(room, new Set());
    book.get(room).add(n);
    return outcome;
  }

  /** Publishes at a steady rate, to its rooms in turn, while it is connected; until the signal. */
  async steady(rooms, perSecond, signal) {
    const under = new Set();
    for (let i = 0, due = performance.now(); !signal.aborted; i++) {
      if (this.socket.connected) {
        const done = this.publish(rooms[i % rooms.length]).finally(() => under.delete(done));
        under.add(done);
      }
      due += 1000 / perSecond;
      await pause(Math.max(0, due - performance.now()), undefined, { signal }).catch(() => {});
    }
    await Promise.all(under);
  }

  /** Publishes as fast as the server acknowledges, `width` at a time, while it is connected; until the signal. */
  async flood(rooms, width, signal, ...args) {
    const worker = async (room) => {
      while (!signal.aborted) {
        if (!this.socket.connected) await eventually("the publisher to be back", () => this.socket.connected || signal.aborted, LIMIT);
        else if ((await this.publish(room, ...args)) === "refused") await pause(20); // or it would ask without a rest
      }
    };
    await Promise.all(Array.from({ length: width }, (_, i) => worker(rooms[i % rooms.length])));
  }

  count(book) {
    return [...book.values()].reduce((sum, numbers) => sum + numbers.size, 0);
  }
}
