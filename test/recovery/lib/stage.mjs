// Many subscribers in many rooms, publishers at a steady rate, and the judgement at the end: the scene of the tests that
// cut links, kill servers and restart them.

import { setMaxListeners } from "node:events";
import { eventually, parallel } from "../../js/lib/waiting.mjs";
import { judge, settle } from "./ledger.mjs";
import { Publisher, Subscriber } from "./people.mjs";

const MIX = ["websocket", "websocket", "websocket", "polling", "upgrade"];
const CATCH_UP = 60_000;

export class Stage {
  #over = new AbortController();
  #work = [];

  /** Everyone has connected and joined; each room had its first event, number 0. */
  static async set(server, { random, clients, rooms = 10, roomsEach = 3, publishers = 2, options = {} }) {
    const stage = new Stage();
    setMaxListeners(0, stage.#over.signal); // every link waits for it
    stage.server = server;
    stage.random = random;
    stage.rooms = Array.from({ length: rooms }, (_, i) => `room ${i}`);
    stage.publishers = await parallel(publishers, publishers, (i) => Publisher.arrive(server, { name: `publisher ${i}`, ...options }));
    stage.reader = await Subscriber.arrive(server, { name: "reader", ...options });
    await stage.reader.subscribe(...stage.rooms);
    stage.subscribers = await parallel(clients, 20, async (i) => {
      const subscriber = await Subscriber.arrive(server, { name: `client ${i}`, via: MIX[i % MIX.length], ...options });
      const own = new Set();
      while (own.size < Math.min(roomsEach, rooms)) own.add(stage.rooms[Math.floor(random() * rooms)]);
      await subscriber.subscribe(...own);
      return subscriber;
    });
    await Promise.all(stage.rooms.map((room, i) => stage.#ownerOf(i).publish(room)));
    await eventually("the first events", () => stage.reader.received.length >= rooms);
    return stage;
  }

  #ownerOf(room) {
    return this.publishers[room % this.publishers.length];
  }

  /** Publishers publish, `rate` events a second together, until the end. */
  publish(rate) {
    this.publishers.forEach((publisher, p) => {
      const own = this.rooms.filter((_, i) => i % this.publishers.length === p);
      this.#work.push(publisher.steady(own, rate / this.publishers.length, this.#over.signal));
    });
  }

  /** Subscribers' links are cut again and again until the end. */
  cutLinks(how) {
    for (const subscriber of this.subscribers) this.#work.push(subscriber.unsteady(this.random, this.#over.signal, how));
  }

  /** More that goes on until the end: a function of the signal. */
  meanwhile(task) {
    this.#work.push(task(this.#over.signal));
  }

  /** Ends what goes on, waits until everyone is back and has the last event of every room, and judges. Returns figures. */
  async close() {
    this.#over.abort();
    await Promise.all(this.#work);
    const everyone = [...this.subscribers, this.reader, ...this.publishers];
    await Promise.all(everyone.map((person) => person.connected()));
    for (const [i, room] of this.rooms.entries()) {
      const outcome = await this.#ownerOf(i).publish(room);
      if (outcome !== "acked") throw new Error(`the last event of ${room}: ${outcome}\n${this.server.logTail}`);
    }
    const log = await readLog(this.reader, this.rooms);
    const caughtUp = (s) => s.rooms.every((room) => s.received.some(({ offset }) => offset === log.get(room).at(-1).offset));
    const late = eventually("everyone to have the last event", () => this.subscribers.every(caughtUp), CATCH_UP);
    await late.catch(() => {}); // the judgement names what is missing
    settle(judge({ log, subscribers: [...this.subscribers, this.reader], publishers: this.publishers }), this.server);
    this.server.check();
    const sum = (list, f) => list.reduce((total, item) => total + f(item), 0);
    return {
      events: sum([...log.values()], (events) => events.length),
      deliveries: sum(this.subscribers, (s) => s.received.length),
      recoveries: sum(this.subscribers, (s) => s.connects.length - 1),
      cuts: sum(this.subscribers, (s) => s.cuts),
      open: sum(this.publishers, (p) => p.count(p.open)),
    };
  }
}

/** Each room's events as the log has them, from the first on that the reader has seen: Map of [{ offset, n }]. */
export async function readLog(reader, rooms) {
  const log = new Map();
  for (const room of rooms) {
    const first = reader.received.find((event) => event.room === room);
    const rest = await reader.history(room, first.offset);
    const news = rest.filter(({ event }) => event === "news").map(({ offset, args }) => ({ offset, n: args[1] }));
    log.set(room, [{ offset: first.offset, n: first.n }, ...news]);
  }
  return log;
}

