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
   * Resolves to {events, more}, the oldest first: the newest events, or those before an
   * offset. An answer may hold less than was asked for, so this asks a few times.
   */
  async page(before = null) {
    const events = [];
    let more = true;
    for (let asked = 0; asked < MOST_REQUESTS && more && events.length < PAGE; asked += 1) {
      const answer = await this.#ask({ limit: PAGE - events.length, ...(before && { before }) });
      events.unshift(...answer.events);
      more = answer.more;
      before = events[0]?.offset;
    }
    return { events, more };
  }

  /** Resolves to {events, complete}: what followed an offset, the oldest first. */
  async since(offset) {
    const events = [];
    for (let more = true; more; offset = events.at(-1)?.offset) {
      if (events.length >= MOST_MISSED) return { events, complete: false };
      const answer = await this.#ask({ after: offset, limit: PAGE });
      events.push(...answer.events);
      more = answer.more;
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
