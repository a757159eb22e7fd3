// Who takes part: stock clients that publish to queues and work on them. What they did is kept for ledger.mjs to judge.

import { setTimeout as pause } from "node:timers/promises";
import { Person } from "../../recovery/lib/people.mjs";

/** Somebody in /queue. `options` go to io() as they are. */
export class Member extends Person {
  static arrive(server, options = {}) {
    return super.arrive(server, { nsp: "/queue", ...options });
  }

  /** The answer to an event; throws on an error in it, with its code. */
  async call(event, ...args) {
    const answer = await this.ask(event, ...args);
    if (answer.error) throw Object.assign(new Error(`${event}: ${answer.error.message}`), answer.error);
    return answer;
  }
}

/** Publishes each message with an id of its own, again and again until it is acknowledged. */
export class Publisher extends Member {
  /** Ids, by queue: Map of Map id -> seq. */
  acked = new Map();
  duplicates = 0;
  tries = 0;
  #next = 0;

  /** Resolves once it is acknowledged. */
  async publish(queue) {
    const id = `${this.name}/${this.#next++}`;
    const { seq } = await this.#insist(queue, id);
    if (!this.acked.has(queue)) this.acked.set(queue, new Map());
    this.acked.get(queue).set(id, seq);
    return { id, seq };
  }

  /** Publishes it once more, as one does that has lost the ack. */
  async repeat(queue, { id, seq }) {
    const answer = await this.#insist(queue, id);
    if (answer.duplicate !== true || answer.seq !== seq) throw new Error(`${id}, stored as ${seq}: ${JSON.stringify(answer)}`);
  }

  async #insist(queue, id) {
    for (;;) {
      this.tries++;
      let answer;
      try {
        answer = await this.socket.timeout(3000).emitWithAck("publish", queue, { id }, { id });
      } catch {
        await pause(50);
        continue; // no answer: whether it was stored is not known
      }
      if (answer.ok !== true) throw new Error(`publish ${id}: ${JSON.stringify(answer)}`);
      if (answer.duplicate) this.duplicates++;
      return answer;
    }
  }

  /** One message after the other, some of them twice, with random pauses, until the signal. */
  async steady(queue, random, longest, signal) {
    while (!signal.aborted) {
      const message = await this.publish(queue);
      if (random() < 0.05) await this.repeat(queue, message);
      await pause(random.between(0, longest));
    }
  }
}

/**
 * Works on a queue: takes a random time for each message, and says then that it is done. It can be killed, and starts
 * again with nothing but its name.
 */
export class Worker extends Member {
  /** [{ id, seq, attempt, life, done, late, right }]: late says that it came after its done was known to be durable. */
  deliveries = [];
  deaths = 0;
  #life = 0;

  /** `fence` is everyone's. */
  static async start(server, { queue, consumer, group, prefetch, longest, random, fence }) {
    const worker = await super.arrive(server, { name: consumer, wait: false });
    Object.assign(worker, { queue, group: group ?? consumer, longest, random, fence });
    const { socket } = worker;
    socket.on("connect", () => {
      worker.#life++;
      socket.emit("subscribe", queue, { consumer, group, prefetch });
    });
    socket.on("message", (message, done) => worker.#work(message, done));
    await worker.connected();
    return worker;
  }

  async #work({ id, seq, attempt, body }, done) {
    const life = this.#life;
    const late = this.fence.passed(this.queue, this.group, seq);
    const delivery = { id, seq, attempt, life, done: false, late, right: body.id === id };
    this.deliveries.push(delivery);
    await pause(this.random.between(0, this.longest));
    if (life !== this.#life || !this.socket.connected) return; // killed in the middle of it
    delivery.done = true;
    done();
  }

  /** Dies with what it has in hand and starts again, at random moments, until the signal. */
  async mortal(signal, { every = 4000, longest = 1500 } = {}) {
    const rest = (ms) => pause(ms, undefined, { signal }).catch(() => {});
    for (;;) {
      await rest(this.random.between(0, 2 * every));
      if (signal.aborted) break;
      this.deaths++;
      this.#life++;
      if (this.random() < 0.7) {
        this.link.refuse();
        this.link.cut(); // a crash
        await rest(this.random.between(0, longest));
        this.link.heal();
      } else {
        this.socket.disconnect(); // it leaves
        await rest(this.random.between(0, longest));
        this.socket.connect();
      }
    }
  }
}

/**
 * Knows which messages can't come again. A done has no acknowledgement. But the calls of a connection are taken in order,
 * and so are the commits of the log: what stats shows as done is durable when a publish after it is acknowledged.
 */
export class Fence extends Member {
  #upTo = new Map();
  /** How often it was moved. */
  moves = 0;

  passed(queue, group, seq) {
    return seq <= (this.#upTo.get(`${queue} ${group}`) ?? 0);
  }

  /** Moves up with the groups of the queues until the signal. */
  async follow(queues, signal) {
    while (!signal.aborted) {
      await this.#move(queues).catch(() => {}); // the server is gone: nothing is known
      await pause(20);
    }
  }

  async #move(queues) {
    const { socket } = this;
    if (!socket.connected) return;
    // All are sent at once, so that no other server can have a part of them.
    const [end, ...stats] = await Promise.all(
      [...queues.map((queue) => ["stats", queue]), ["publish", "fences", null, { ttl: 1 }]].map((call) => socket.emitWithAck(...call)).reverse(),
    );
    if (end.ok !== true) return;
    for (const { queue, groups } of stats) {
      for (const { name, done_up_to: seq } of groups ?? []) {
        if (seq > (this.#upTo.get(`${queue} ${name}`) ?? 0)) this.#upTo.set(`${queue} ${name}`, seq);
      }
    }
    this.moves++;
  }
}
