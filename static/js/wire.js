// The traffic pane: what the tap sees, one line a packet, bounded.

import { $, formatBytes, formatMillis, h, setText } from "./dom.js";

const MOST_ROWS = 250;
const MOST_DETAIL = 20_000;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false });

const preview = (value) => {
  if (value === null || value === undefined) return "";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return Array.isArray(value) ? text.slice(1, -1) : text;
};

const ackText = (row) => {
  switch (row.ack) {
    case "waiting":
      return "ack …";
    case "done":
      return `✓ ${formatMillis(row.rtt)}`;
    case "lost":
      return "no ack";
    default:
      return "";
  }
};

export class WirePane {
  #list = $("rows");
  #pending = [];
  #paused = false;
  #scheduled = false;
  #elements = new WeakMap();

  constructor(tap) {
    this.tap = tap;
    tap.addEventListener("row", (event) => this.#add(event.detail));
    tap.addEventListener("note", (event) => this.#add(event.detail));
    tap.addEventListener("answer", (event) => this.#answered(event.detail));
    tap.addEventListener("passed", () => this.#schedule());

    $("show-beats").addEventListener("change", (event) => this.#keepBottom(() => this.#list.classList.toggle("with-beats", event.target.checked)));
    $("pause").addEventListener("click", (event) => {
      this.#paused = !this.#paused;
      event.currentTarget.setAttribute("aria-pressed", String(this.#paused));
      setText(event.currentTarget, this.#paused ? "Go on" : "Pause");
      if (!this.#paused) this.#schedule();
    });
    $("clear").addEventListener("click", () => {
      this.#pending = [];
      this.#list.replaceChildren();
    });
    document.addEventListener("visibilitychange", () => this.#schedule());
  }

  #add(row) {
    this.#pending.push(row);
    if (this.#pending.length > MOST_ROWS) this.#pending.shift();
    this.#schedule();
  }

  #answered(row) {
    const element = this.#elements.get(row);
    if (!element) return; // still pending: it will be drawn with its answer
    element.dataset.ack = row.ack;
    setText(element.querySelector(".row-ack"), ackText(row));
    if (element.querySelector("details").open) this.#fill(row, element);
  }

  // Drawn once a frame: a burst of a thousand packets costs one layout.
  #schedule() {
    if (this.#scheduled || document.hidden) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#draw();
    });
  }

  #draw() {
    setText($("sum-out"), `↑ ${formatBytes(this.tap.bytes.out)} out`);
    setText($("sum-in"), `↓ ${formatBytes(this.tap.bytes.in)} in`);
    if (this.#paused || this.#pending.length === 0) return;
    const rows = this.#pending.map((row) => this.#element(row));
    this.#pending = [];
    this.#keepBottom(() => {
      this.#list.append(...rows);
      while (this.#list.childElementCount > MOST_ROWS) this.#list.firstElementChild.remove();
    });
  }

  #keepBottom(change) {
    const list = this.#list;
    const atBottom = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    change();
    if (atBottom) list.scrollTop = list.scrollHeight;
  }

  #element(row) {
    const note = row.kind === "note";
    if (note) {
      return h("li", { class: "row", "data-kind": "note" }, h("details", {}, h("summary", {}, h("span", { class: "row-dir" }, "·"), h("span", { class: "row-name" }, row.name)), h("p", { class: "row-more" }, clock.format(row.time))));
    }
    const where = row.nsp && row.nsp !== "/" ? row.nsp : "";
    const element = h(
      "li",
      { class: "row", "data-dir": row.dir, "data-kind": row.kind, "data-name": row.name, "data-ack": row.ack, "data-beat": row.beat, "data-replayed": row.replayed },
      h(
        "details",
        { ontoggle: () => this.#fill(row, element) },
        h(
          "summary",
          {},
          h("span", { class: "row-dir" }, row.dir === "out" ? "↑" : "↓", h("span", { class: "sr-only" }, row.dir === "out" ? " out" : " in")),
          h("span", { class: "row-name" }, row.name),
          h("span", { class: "row-args" }, preview(row.args).slice(0, 200) || where),
          h("span", { class: "row-size" }, formatBytes(row.bytes)),
          h("span", { class: "row-ack" }, row.replayed ? "kept" : ackText(row)),
        ),
      ),
    );
    this.#elements.set(row, element);
    return element;
  }

  // The inside of a line is made when it is opened, and again when its ack comes.
  #fill(row, element) {
    const details = element.querySelector("details");
    details.querySelector(".row-more")?.remove();
    if (!details.open) return;
    const list = h("dl", { class: "row-more" });
    const put = (name, value) => list.append(h("div", {}, h("dt", {}, name), h("dd", {}, value)));
    put("At", clock.format(row.time));
    if (row.nsp) put("Namespace", row.nsp);
    if (row.args !== null) put(row.kind === "event" ? "Arguments" : "Content", JSON.stringify(row.args, null, 2).slice(0, MOST_DETAIL));
    if (row.offset !== null) put("Place in the server's log", row.offset);
    if (row.sizes.length > 0) put("Binary attachments", row.sizes.map(formatBytes).join(", "));
    if (row.ack === "done") put(`Acknowledged after ${formatMillis(row.rtt)}`, JSON.stringify(row.answer, null, 2).slice(0, MOST_DETAIL));
    if (row.ack === "lost") put("Acknowledgement", "The connection closed before it came.");
    if (row.replayed) put("Kept by the server", "Sent while this window was away, handed over when it came back.");
    details.append(list);
  }
}
