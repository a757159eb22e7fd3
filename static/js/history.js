// What was said in the room, read from the server's log: by who opens the chat, and by
// who was away for too long to be handed it.

const ROOM = "lobby";
const PAGE = 50;
const MOST_MISSED = 200;
const MOST_REQUESTS = 4;

export class History {
  #socket;

  constructor(socket) {
    this.#socket = socket;
  }

  /**
   * Resolves to {events, next}, the oldest first: the newest events, or those before an
   * offset; next is the offset to go on with, null where nothing is further back. An answer
   * may hold less than was asked for, so this asks a few times.
   */
  async page(before = null) {
    const events = [];
    let next = before;
    for (let asked = 0; asked < MOST_REQUESTS && events.length < PAGE && (next !== null || asked === 0); asked += 1) {
      const answer = await this.#ask({ limit: PAGE - events.length, ...(next && { before: next }) });
      events.unshift(...answer.events);
      next = answer.more ? answer.next : null;
    }
    return { events, next };
  }

  /** Resolves to {events, complete}: what followed an offset, the oldest first. */
  async since(offset) {
    const events = [];
    for (let next = offset; next !== null; ) {
      if (events.length >= MOST_MISSED) return { events, complete: false };
      const answer = await this.#ask({ after: next, limit: PAGE });
      events.push(...answer.events);
      next = answer.more ? answer.next : null;
    }
    return { events, complete: true };
  }

  #ask(query) {
    return new Promise((resolve, reject) => {
      this.#socket.emit("history", ROOM, query, (err, answer) => {
        if (err || answer.error) reject(err ?? new Error(answer.error.code));
        else resolve(answer);
      });
    });
  }
}
