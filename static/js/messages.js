// The list of messages: draws them, marks their state, keeps the list bounded and the
// newest in sight.

import { $, formatMillis, h, plural, setText } from "./dom.js";

const MOST_ENTRIES = 300;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

export class Messages {
  #list = $("messages");
  #newer = $("newer");
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
    // An image that loads late, or a keyboard that opens, must not hide the newest.
    new ResizeObserver(() => this.#follow()).observe(this.#list);
  }

  clear() {
    for (const entry of this.#list.children) this.#release(entry);
    this.#list.replaceChildren();
    this.#seen();
  }

  /**
   * Adds a message: {from, text | image: {blob, name}, at, mine, kept, state}. Returns
   * what settle() and fail() need to change it later.
   */
  add(message) {
    const last = this.#list.lastElementChild;
    const first = last?.dataset.from !== message.from;
    const status = h("span", { class: "msg-state" });
    const time = h("time", { datetime: new Date(message.at).toISOString() }, clock.format(message.at));
    const entry = h(
      "li",
      { class: `msg${first ? " msg-first" : ""}${message.mine ? " mine" : ""}`, "data-from": message.from, "data-state": message.state ?? "sent", "data-kept": message.kept },
      h("span", { class: "msg-who" }, message.mine ? "you" : message.from),
      message.image ? this.#figure(message) : h("p", { class: "msg-text" }, message.text),
      h("span", { class: "msg-meta" }, status, time),
    );
    if (message.kept) setText(status, "kept for you");
    if (message.image) this.#urls.set(entry, entry.querySelector("img").src);
    this.#append(entry, message.mine);
    return { entry, status, time };
  }

  pending({ entry, status }, online) {
    if (entry.dataset.state === "pending") setText(status, online ? "sending" : "waits for the line");
  }

  settle({ entry, status, time }, { at, rtt, again }) {
    entry.dataset.state = "sent";
    time.dateTime = new Date(at).toISOString();
    setText(time, clock.format(at));
    status.replaceChildren("✓ ", h("span", { class: "rtt" }, formatMillis(rtt)), h("span", { class: "sr-only" }, " delivered"), again ? " sent twice, kept once" : "");
  }

  fail({ entry, status }, reason, resend) {
    entry.dataset.state = "failed";
    setText(status, "");
    const line = h("p", { class: "msg-fail", role: "alert" }, `Not sent: ${reason}`);
    const remove = () => {
      this.#release(entry);
      entry.remove();
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
    while (this.#list.childElementCount > MOST_ENTRIES) {
      this.#release(this.#list.firstElementChild);
      this.#list.firstElementChild.remove();
    }
    if (mine || this.#following) this.toBottom();
    else if (entry.classList.contains("msg")) {
      this.#unseen += 1;
      setText(this.#newer, `${plural(this.#unseen, "new message")} below`);
      this.#newer.hidden = false;
    }
  }

  // Measured once a frame, not once a message: in a burst that is what costs.
  #follow() {
    if (!this.#following || this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#list.scrollTop = this.#list.scrollHeight;
    });
  }

  #release(entry) {
    const url = this.#urls.get(entry);
    if (url) URL.revokeObjectURL(url);
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
