// The list of messages: draws them, marks their state, keeps the list bounded and the
// newest in sight.

import { $, formatMillis, h, plural, setText } from "./dom.js";

const MOST_ENTRIES = 300;
const MOST_WHILE_READING = 1200; // someone who reads what is further up is not to lose it

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const calendar = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

const timeOf = (at) => (new Date(at).toDateString() === new Date().toDateString() ? clock : calendar).format(at);

export class Messages {
  #list = $("messages");
  #newer = $("newer");
  #head = $("earlier-row"); // always the first entry, hidden where nothing is further up
  #byId = new Map();
  #readEarlier = null;
  #unseen = 0;
  #following = true; // the newest is in sight, and is to stay so
  #scheduled = false;
  #urls = new WeakMap();

  constructor() {
    this.#list.addEventListener("scroll", () => {
      if (this.#scheduled) return; // the list moves by itself: not the reader's doing
      this.#following = this.#atBottom();
      if (this.#following) this.#seen();
    });
    this.#newer.addEventListener("click", () => this.toBottom());
    $("earlier").addEventListener("click", () => this.#goBack());
    // An image that loads late, or a keyboard that opens, must not hide the newest.
    new ResizeObserver(() => this.#follow()).observe(this.#list);
  }

  clear() {
    for (const entry of [...this.#list.children]) if (entry !== this.#head) this.#drop(entry);
    this.earlier(null, false);
    this.#seen();
  }

  /** The entry of a message, while it is in the list. */
  entry(id) {
    return this.#byId.get(id);
  }

  /** The first entry, or where it would be. */
  top() {
    return this.#head.nextElementSibling;
  }

  /** The place in the log of the topmost message whose place is known. */
  oldest() {
    return this.#list.querySelector(".msg[data-offset]")?.dataset.offset ?? null;
  }

  /** What to call when someone wants to read further up, and whether anything is there. */
  earlier(read, more) {
    this.#readEarlier = read;
    if (!more && document.activeElement === $("earlier")) this.#list.focus();
    this.#head.hidden = !more;
  }

  async #goBack() {
    $("earlier").disabled = true;
    this.#following = false;
    await this.#readEarlier?.();
    $("earlier").disabled = false;
  }

  /**
   * Adds a message: {from, text | image: {blob, name}, at, mine, kept, state, id, offset}, at the
   * end. Returns what settle() and fail() need to change it later.
   */
  add(message) {
    const handle = this.#make(message);
    this.#append(handle.entry, message.mine);
    return handle;
  }

  /**
   * Puts messages, oldest first, before the entry `end`, and between those of them that are
   * in the list already, by their id or as known(message) says. What is being looked at stays
   * where it is. Resolves to how many were added.
   */
  async merge(messages, end, known) {
    const made = new Map(messages.filter((m) => !this.#byId.has(m.id) && !known(m)).map((m) => [m, this.#make(m).entry]));
    // With its images decoded, an entry has its height from the start.
    await Promise.all([...made.values()].flatMap((entry) => [...entry.querySelectorAll("img")].map((img) => img.decode().catch(() => {}))));

    const restore = this.#place();
    this.#list.setAttribute("aria-live", "off"); // a page of the past isn't news
    let at = end?.isConnected ? end : null;
    for (const message of messages.toReversed()) {
      const entry = made.get(message);
      if (entry) {
        this.#list.insertBefore(entry, at);
        this.#group(entry);
        at = entry;
      } else {
        const there = this.#byId.get(message.id) ?? known(message);
        if (there?.isConnected && (at === null || there.compareDocumentPosition(at) & Node.DOCUMENT_POSITION_FOLLOWING)) at = there;
      }
    }
    this.#trim();
    if (this.#following) this.#follow();
    else restore();
    setTimeout(() => this.#list.removeAttribute("aria-live"), 1000);
    return made.size;
  }

  // What is being looked at, to be brought back there. From then on the browser's own scroll
  // anchoring keeps it, while entries get the heights that were guessed until they are painted.
  #place() {
    const { top } = this.#list.getBoundingClientRect();
    const anchor = [...this.#list.children].find((entry) => entry !== this.#head && entry.getBoundingClientRect().bottom > top);
    const was = anchor?.getBoundingClientRect().bottom;
    return () => {
      if (anchor?.isConnected) this.#list.scrollTop += anchor.getBoundingClientRect().bottom - was;
    };
  }

  /** Marks the end of the list as it is now: the place of what is about to be read from the history. */
  marker() {
    const marker = h("li", { hidden: true });
    this.#list.append(marker);
    this.#list.setAttribute("aria-busy", "true");
    return marker;
  }

  /** Makes a line of a marker, or nothing where there is nothing to say. */
  mark(marker, text, tone) {
    this.#list.setAttribute("aria-busy", "false");
    if (!text) return marker.remove();
    marker.className = `event event-${tone}`;
    marker.replaceChildren(h("span", {}, text));
    marker.hidden = false;
    if (this.#following) this.#follow();
  }

  #make(message) {
    const status = h("span", { class: "msg-state" });
    const time = h("time", { datetime: new Date(message.at).toISOString() }, timeOf(message.at));
    const entry = h(
      "li",
      {
        class: `msg${message.mine ? " mine" : ""}`,
        "data-from": message.from,
        "data-state": message.state ?? "sent",
        "data-kept": Boolean(message.kept),
        "data-id": message.id,
        "data-offset": message.offset,
      },
      h("span", { class: "msg-who" }, message.mine ? "you" : message.from),
      message.image ? this.#figure(message) : h("p", { class: "msg-text" }, message.text),
      h("span", { class: "msg-meta" }, status, time),
    );
    if (message.kept) setText(status, message.kept);
    if (message.image) this.#urls.set(entry, entry.querySelector("img").src);
    if (message.id) this.#byId.set(message.id, entry);
    return { entry, status, time };
  }

  pending({ entry, status }, online) {
    if (entry.dataset.state === "pending") setText(status, online ? "sending" : "waits for the line");
  }

  settle({ entry, status, time }, { id, at, rtt, again }) {
    entry.dataset.state = "sent";
    entry.dataset.id = id;
    if (entry.isConnected) this.#byId.set(id, entry);
    time.dateTime = new Date(at).toISOString();
    setText(time, timeOf(at));
    status.replaceChildren("✓ ", h("span", { class: "rtt" }, formatMillis(rtt)), h("span", { class: "sr-only" }, " delivered"), again ? " sent twice, kept once" : "");
  }

  fail({ entry, status }, reason, resend) {
    entry.dataset.state = "failed";
    setText(status, "");
    const line = h("p", { class: "msg-fail", role: "alert" }, `Not sent: ${reason}`);
    const remove = () => {
      this.#drop(entry);
      $("text").focus();
    };
    if (resend) {
      line.append(h("button", { type: "button", onclick: () => { remove(); resend(); } }, "Send again"));
    }
    line.append(h("button", { type: "button", class: "quiet", onclick: remove }, "Remove"));
    entry.append(line);
    this.#follow();
  }

  /**
   * A line of the room's own: who came, who went, what became of the connection. It
   * takes the place of the line before it when both are `about` the same.
   */
  event(text, { tone = "", about = null } = {}) {
    const last = this.#list.lastElementChild;
    if (about !== null && last?.dataset.about === about) last.remove();
    this.#append(h("li", { class: `event${tone ? ` event-${tone}` : ""}`, "data-about": about }, h("span", {}, text)), false);
  }

  toBottom() {
    this.#following = true;
    this.#seen();
    this.#follow();
  }

  #figure({ from, mine, image }) {
    const url = URL.createObjectURL(image.blob);
    const img = h("img", { src: url, alt: `Image from ${mine ? "you" : from}: ${image.name}` });
    img.addEventListener("load", () => this.#follow());
    return h("figure", { class: "msg-image msg-text" }, img, h("figcaption", {}, image.name));
  }

  #append(entry, mine) {
    this.#list.append(entry);
    this.#group(entry);
    if (mine) this.#following = true;
    this.#trim();
    if (mine || this.#following) this.toBottom();
    else if (entry.classList.contains("msg")) {
      this.#unseen += 1;
      setText(this.#newer, `${plural(this.#unseen, "new message")} below`);
      this.#newer.hidden = false;
    }
  }

  // The first of several messages of one person shows the name.
  #group(entry) {
    for (const e of [entry, entry.nextElementSibling]) {
      if (e?.classList.contains("msg")) e.classList.toggle("msg-first", e.previousElementSibling?.dataset.from !== e.dataset.from);
    }
  }

  #trim() {
    const most = this.#following ? MOST_ENTRIES : MOST_WHILE_READING;
    let dropped = false;
    while (this.#list.childElementCount > most) {
      dropped ||= this.top().classList.contains("msg");
      this.#drop(this.top());
    }
    if (!dropped) return;
    this.#group(this.top());
    this.#head.hidden = this.#readEarlier === null;
  }

  // Measured once a frame, not once a message: in a burst that is what costs. What comes into
  // sight may turn out higher than it was guessed to be, so the next frame looks again.
  #follow() {
    if (!this.#following || this.#scheduled) return;
    this.#scheduled = true;
    let height = -1;
    const settle = () => {
      const now = this.#list.scrollHeight;
      this.#list.scrollTop = now;
      if (now === height) this.#scheduled = false;
      else requestAnimationFrame(settle);
      height = now;
    };
    requestAnimationFrame(settle);
  }

  #drop(entry) {
    const url = this.#urls.get(entry);
    if (url) URL.revokeObjectURL(url);
    if (this.#byId.get(entry.dataset.id) === entry) this.#byId.delete(entry.dataset.id);
    entry.remove();
  }

  #seen() {
    this.#unseen = 0;
    this.#newer.hidden = true;
  }

  #atBottom() {
    const list = this.#list;
    return list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  }
}
