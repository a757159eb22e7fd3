// The drawing of the connection and the words under it.

import { $, formatMillis, formatSpan, plural, setText } from "./dom.js";

const MOST_BEADS = 24;
const MOST_SAMPLES = 30;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

export class Line {
  #root = $("line");
  #track = $("line-track");
  #beads = 0;
  #samples = [];
  #connection = null;
  #ticker = null;

  constructor() {
    setText($("line-server"), location.host || "server");
  }

  follow(connection, tap) {
    this.#connection = connection;
    this.#samples = [];
    const show = () => {
      if (connection === this.#connection) this.#show();
    };
    for (const type of ["change", "transport", "attempt"]) connection.addEventListener(type, show);
    connection.addEventListener("rtt", (event) => {
      if (connection === this.#connection) this.#sample(event.detail);
    });
    tap.addEventListener("passed", (event) => this.#pass(event.detail));
    clearInterval(this.#ticker);
    this.#ticker = setInterval(() => {
      if (connection.state === "gone" || connection.state === "offline") this.#detail();
    }, 1000);
    this.#show();
  }

  /** Back to no connection, with a sentence of the page's own. */
  idle(state, detail = "") {
    this.#connection = null;
    clearInterval(this.#ticker);
    this.#root.dataset.state = "idle";
    this.#root.dataset.transport = "none";
    setText($("line-state"), state);
    setText($("line-detail"), detail);
    setText($("fact-transport"), "none");
    setText($("fact-rtt"), "–");
  }

  gone(state, detail) {
    this.idle(state, detail);
    this.#root.dataset.state = "gone";
  }

  me(name) {
    setText($("line-you"), name);
  }

  #show() {
    const c = this.#connection;
    const online = c.state === "online";
    this.#root.dataset.state = c.state === "dismissed" ? "cut" : c.state;
    this.#root.dataset.transport = online || c.state === "connecting" ? c.transport : "none";
    setText($("line-state"), this.#sentence());
    this.#detail();
    setText($("fact-transport"), online ? (c.upgrading ? "polling → ws" : c.transport) : "none");
    setText($("fact-returns"), String(c.returns));
    if (!online) setText($("fact-rtt"), "–");
  }

  #sentence() {
    const c = this.#connection;
    switch (c.state) {
      case "online":
        if (c.transport === "websocket") return "Connected over websocket";
        return c.upgrading ? "Connected by polling, moving to websocket" : "Connected by polling";
      case "cut":
        return "The line is cut, coming back";
      case "gone":
        return navigator.onLine ? "The server is gone" : "This device is offline";
      case "offline":
        return "Offline";
      case "replaced":
        return "Your name moved to another window";
      case "dismissed":
        return "The server closed this connection";
      case "refused":
        return "The server said no";
      default:
        return "Connecting";
    }
  }

  #detail() {
    const c = this.#connection;
    setText($("line-detail"), this.#detailText(c));
  }

  #detailText(c) {
    const kept = "What you write now is kept here and sent later.";
    switch (c.state) {
      case "online":
        if (!c.returning) return `As ${$("line-you").textContent}, since ${clock.format(c.since)}.`;
        return c.recovered
          ? `Back after ${formatSpan(c.awayFor)}, with everything that was said meanwhile.`
          : `Back after ${formatSpan(c.awayFor)}, as a new session.`;
      case "cut":
        return kept;
      case "gone":
        return `No answer for ${formatSpan(Date.now() - c.lostAt)}, ${plural(c.attempts, "attempt")} so far.`;
      case "offline":
        return `For ${formatSpan(Date.now() - c.lostAt)}, because you asked for it. ${kept}`;
      case "replaced":
        return "Only one window can hold a name.";
      default:
        return "";
    }
  }

  #sample(ms) {
    setText($("fact-rtt"), formatMillis(ms));
    this.#samples.push(ms);
    if (this.#samples.length > MOST_SAMPLES) this.#samples.shift();
    const top = Math.max(...this.#samples, 5);
    const points = this.#samples.map((v, i) => `${((60 / (MOST_SAMPLES - 1)) * (i + MOST_SAMPLES - this.#samples.length)).toFixed(1)},${(17 - (15 * v) / top).toFixed(1)}`);
    $("fact-spark").firstElementChild.setAttribute("points", points.join(" "));
  }

  // A packet as a bead on the rope.
  #pass(row) {
    if (calm.matches || document.hidden || this.#beads >= MOST_BEADS) return;
    const bead = document.createElement("i");
    bead.className = `bead bead-${row.dir}${row.kind === "beat" || row.beat || row.kind === "ack" ? " bead-beat" : ""}`;
    this.#track.append(bead);
    this.#beads += 1;
    const width = this.#track.clientWidth;
    const path = [{ transform: "translateX(0)" }, { transform: `translateX(${width}px)` }];
    const run = bead.animate(row.dir === "out" ? path : path.reverse(), { duration: 650, easing: "cubic-bezier(.45,.05,.55,.95)" });
    run.onfinish = run.oncancel = () => {
      bead.remove();
      this.#beads -= 1;
    };
  }
}
