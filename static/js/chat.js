// The chat over one connection: what /chat says, and what is said to it.

import { $, formatSpan, h, plural, setText } from "./dom.js";
import { History } from "./history.js";
import { isShown, prepareImage } from "./images.js";

const TYPING_LASTS = 4000;
const TYPING_EVERY = 2000;

const newId = () => crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");

export class Chat extends EventTarget {
  #connection;
  #messages;
  #name;
  #people = new Map();
  #typing = new Map();
  #waiting = new Map(); // by the id that it was given here
  #history;
  #filled = false;
  #replaying = false; // what arrives was kept while the line was away: until "welcome", which comes behind it
  #ended = false;
  #limits = { text: 2000, image: 700_000 };
  #typedAt = 0;
  #kept = 0;

  constructor(connection, messages, name) {
    super();
    this.#connection = connection;
    this.#messages = messages;
    this.#name = name;
    const { socket } = connection;
    this.#history = new History(socket);
    socket.on("welcome", (hello) => this.#welcome(hello));
    socket.on("joined", ({ name }) => this.#person(name, true, `${name} joined`));
    socket.on("back", ({ name }) => this.#person(name, true, `${name} is back`));
    socket.on("away", ({ name }) => this.#person(name, false, `${name} lost the connection`));
    socket.on("left", ({ name }) => this.#gone(name));
    socket.on("typing", ({ name, on }) => this.#types(name, on));
    socket.on("message", (message, offset) => this.#received(message, offset));
    socket.on("image", (message, offset) => this.#received(message, offset));
    connection.addEventListener("change", (event) => this.#lineChanged(event.detail));
  }

  /** Forgets the screen's part of this chat. What was not sent yet is marked so. */
  end() {
    this.#ended = true;
    this.#messages.earlier(null, false);
    for (const item of [...this.#waiting.values()]) this.#refuse(item, "you left before it was sent");
    for (const timer of this.#typing.values()) clearTimeout(timer);
    this.#people.clear();
    this.#typing.clear();
    this.#showPeople();
    this.#showTyping();
  }

  sendText(text) {
    this.#typedAt = 0; // the message itself ends the typing for those who read it
    this.#send({ text }, "message", { text });
  }

  async sendImage(file) {
    let image;
    try {
      image = await prepareImage(file, this.#limits.image);
    } catch (err) {
      this.#messages.event(err.message, { tone: "bad" });
      return;
    }
    this.#sendPrepared(image);
  }

  #sendPrepared(image) {
    const blob = new Blob([image.data], { type: image.type });
    this.#send({ image: { blob, name: image.name } }, "image", { name: image.name, data: image.data }, () => this.#sendPrepared(image));
  }

  // The id is made here and stays the same in every sending of this message: that is
  // how the server, and every other window, knows a repetition.
  #send(content, event, body, resend = () => this.sendText(content.text)) {
    const cid = newId();
    const handle = this.#messages.add({ ...content, from: this.#name, at: Date.now(), mine: true, state: "pending" });
    const item = { cid, handle, resend, sentAt: performance.now() };
    this.#waiting.set(cid, item);
    this.#messages.pending(handle, this.#connection.state === "online");
    this.dispatchEvent(new Event("said"));
    this.#connection.socket.emit(event, { ...body, cid }, (err, answer) => {
      if (!this.#waiting.has(cid)) return;
      if (err) return this.#refuse(item, "the server never confirmed it");
      if (answer?.error) return this.#refuse(item, answer.error.message);
      this.#waiting.delete(cid);
      this.#messages.settle(handle, { id: answer.id, at: answer.at, rtt: performance.now() - item.sentAt, again: answer.duplicate });
    });
  }

  #refuse(item, reason) {
    this.#waiting.delete(item.cid);
    this.#messages.fail(item.handle, reason, item.resend);
  }

  #received(message, offset) {
    if (this.#messages.entry(message.id)) return;
    this.#types(message.from, false);
    const kept = this.#replaying ? "kept for you" : null;
    const shown = this.#shown(message, { offset, kept });
    if (!shown) return;
    if (kept) this.#kept += 1;
    this.#messages.add(shown);
    this.dispatchEvent(new CustomEvent("heard", { detail: shown }));
  }

  #shown(message, more) {
    const shown = { id: message.id, from: message.from, at: message.at, mine: message.from === this.#name, ...more };
    if (message.data === undefined) return { ...shown, text: String(message.text) };
    if (!isShown(message.type)) return null;
    return { ...shown, image: { blob: new Blob([message.data], { type: message.type }), name: String(message.name || "image") } };
  }

  // What was said before, and what was missed and not handed over

  async #fill() {
    this.#filled = true;
    const marker = this.#messages.marker();
    const page = await this.#history.page().catch(() => null);
    if (this.#ended) return;
    const count = page ? await this.#merge(page.events, marker) : 0;
    this.#messages.mark(marker, count > 0 ? "You joined" : null, "joined");
    if (page) this.#messages.earlier(() => this.#earlier(), page.next !== null);
  }

  async #earlier() {
    const page = await this.#history.page(this.#messages.oldest()).catch(() => null);
    if (this.#ended || !page) return;
    await this.#merge(page.events, this.#messages.top());
    this.#messages.earlier(() => this.#earlier(), page.next !== null);
  }

  async #catchUp(away) {
    const marker = this.#messages.marker();
    const missed = this.#connection.offset ? await this.#history.since(this.#connection.offset).catch(() => null) : null;
    const page = missed?.complete ? missed : await this.#history.page().catch(() => null);
    if (this.#ended) return;
    const count = page ? await this.#merge(page.events, marker, "from the history") : 0;
    const said = `Back after ${away} as a new session.`;
    if (missed?.complete) {
      this.#messages.mark(marker, `${said} ${count === 0 ? "Nothing was missed" : `${plural(count, "message")} came from the history`}`, "good");
    } else {
      this.#messages.mark(marker, `${said} Not all that was said meanwhile is here`, "bad");
    }
  }

  // Puts a part of the history, oldest first, where it belongs: before `end`, and around
  // what is there already. Resolves to how many were not.
  async #merge(events, end, kept = null) {
    const own = new Map([...this.#waiting.values()].map((item) => [item.cid, item.handle.entry]));
    const shown = events
      .map(({ offset, args: [message] }) => this.#shown(message, { offset, kept, cid: message.cid }))
      .filter((message) => message !== null);
    return this.#messages.merge(shown, end, (message) => (message.mine ? own.get(message.cid) : undefined));
  }

  // Who is here

  // Comes with each connection, a recovered one too: who is here is not handed over, but
  // said anew.
  #welcome({ name, people, limits }) {
    this.#name = name;
    if (this.#replaying) this.#sayKept();
    Object.assign(this.#limits, limits);
    this.#people = new Map(people.map((person) => [person.name, person.here]));
    this.#showPeople();
  }

  #sayKept() {
    const away = formatSpan(this.#connection.awayFor);
    const kept = this.#kept === 0 ? "Nothing was missed" : `${this.#kept === 1 ? "One message was" : `${this.#kept} messages were`} kept for you`;
    this.#messages.event(`Back after ${away}. ${kept}`, { tone: "good" });
    this.#replaying = false;
    this.#kept = 0;
  }

  #person(name, here, sentence) {
    if (name === this.#name) return;
    this.#people.set(name, here);
    this.#showPeople();
    this.#messages.event(sentence, { about: name });
  }

  #gone(name) {
    this.#people.delete(name);
    this.#types(name, false);
    this.#showPeople();
    this.#messages.event(`${name} left`, { about: name });
  }

  #showPeople() {
    const names = [...this.#people.keys()].sort((a, b) => (b === this.#name) - (a === this.#name) || a.localeCompare(b));
    $("people").replaceChildren(
      ...names.map((name) => {
        const here = this.#people.get(name);
        return h("li", { "data-here": String(here), "data-name": name, class: name === this.#name ? "self" : null }, name, h("span", { class: "sr-only" }, name === this.#name ? " (you)" : here ? "" : " (connection lost)"));
      }),
    );
    $("people").classList.toggle("stale", this.#connection.state !== "online");
    $("alone").hidden = this.#people.size !== 1 || this.#connection.state !== "online";
  }

  // Typing: said at most every two seconds, believed for four.

  typed() {
    if (this.#connection.state !== "online" || Date.now() - this.#typedAt < TYPING_EVERY) return;
    this.#typedAt = Date.now();
    this.#connection.socket.volatile.emit("typing", true);
  }

  stoppedTyping() {
    if (this.#typedAt === 0) return;
    this.#typedAt = 0;
    if (this.#connection.state === "online") this.#connection.socket.volatile.emit("typing", false);
  }

  #types(name, on) {
    clearTimeout(this.#typing.get(name));
    this.#typing.delete(name);
    if (on) this.#typing.set(name, setTimeout(() => this.#types(name, false), TYPING_LASTS));
    this.#showTyping();
  }

  #showTyping() {
    const names = [...this.#typing.keys()];
    const text = names.length === 0 ? "" : names.length > 3 ? "Several people are typing" : `${names.join(" and ")} ${names.length === 1 ? "is" : "are"} typing`;
    setText($("typing"), text);
  }

  // What becomes of the connection is part of the conversation.

  #lineChanged({ state, was }) {
    for (const item of this.#waiting.values()) this.#messages.pending(item.handle, state === "online");
    if (state === "online") {
      this.#replaying = this.#connection.recovered;
      if (!this.#filled) this.#fill();
      else if (!this.#connection.recovered) this.#catchUp(formatSpan(this.#connection.awayFor));
    } else if (was === "online" && (state === "cut" || state === "offline")) {
      this.#messages.event(state === "cut" ? "The line was cut" : "You went offline", { tone: "break" });
    }
    if (state !== "online") {
      for (const name of [...this.#typing.keys()]) this.#types(name, false);
    }
    this.#showPeople();
  }
}
