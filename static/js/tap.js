// Listens in on a connection at the Engine.IO level, through the client's documented
// engine events ("packet" in, "packetCreate" out), and reads the Socket.IO packets in
// it: what is shown is what travelled, not what the page believes it sent.

const TYPES = ["connect", "disconnect", "event", "ack", "connect_error", "event", "ack"];
const encoder = new TextEncoder();

/**
 * readPacket reads the text of one Socket.IO packet, "52-/chat,7[...]" for example,
 * into {kind, attachments, nsp, id, data}; null when it is none.
 */
export function readPacket(text) {
  const found = /^([0-6])(?:(\d+)-)?(?:(\/[^,]*),)?(\d+)?/.exec(text);
  if (!found) return null;
  const [head, type, attachments, nsp, id] = found;
  let data = null;
  if (head.length < text.length) {
    try {
      data = JSON.parse(text.slice(head.length));
    } catch {
      return null;
    }
  }
  return {
    kind: TYPES[Number(type)],
    attachments: attachments ? Number(attachments) : 0,
    nsp: nsp ?? "/",
    id: id === undefined ? null : Number(id),
    data,
  };
}

/** The same with each attachment's placeholder replaced by what to show for it. */
export function withSizes(data, sizes) {
  if (Array.isArray(data)) return data.map((item) => withSizes(item, sizes));
  if (data && typeof data === "object") {
    if (data._placeholder === true) return `<binary, ${sizes[data.num] ?? "?"} bytes>`;
    return Object.fromEntries(Object.entries(data).map(([key, item]) => [key, withSizes(item, sizes)]));
  }
  return data;
}

const sizeOf = (data) => data?.byteLength ?? data?.size ?? 0;

/**
 * A Tap emits "row" for each packet, "answer" when a row's ack came (or can't come any
 * more) and "note" for what happened to the connection itself. A row:
 *   {dir: "in"|"out", kind, name, nsp, id, args, offset, bytes, at, time, sizes, beat, replayed,
 *    ack: null|"waiting"|"done"|"lost", rtt, answer}
 */
export class Tap extends EventTarget {
  bytes = { in: 0, out: 0 };
  #engine = null;
  #waiting = { in: new Map(), out: new Map() };
  #partial = { in: null, out: null };
  #greeting;
  #claims = new Map(); // by namespace: the session that a CONNECT asked for
  #recoverable = new Set(); // namespaces that number their events
  #replaying = new Set(); // namespaces that are handing over what was missed

  /** greeting: the event that a server sends each connection, behind what that missed. */
  constructor({ greeting }) {
    super();
    this.#greeting = greeting;
  }

  attach(engine) {
    this.#engine = engine;
    this.#waiting = { in: new Map(), out: new Map() };
    this.#partial = { in: null, out: null };
    this.#claims.clear();
    this.#replaying.clear();
    engine.on("packet", (packet) => this.#see("in", packet));
    engine.on("packetCreate", (packet) => this.#see("out", packet));
    engine.on("close", () => this.#end(engine));
  }

  note(text) {
    this.dispatchEvent(new CustomEvent("note", { detail: { kind: "note", name: text, time: new Date() } }));
  }

  #end(engine) {
    if (engine !== this.#engine) return;
    for (const side of ["in", "out"]) {
      for (const row of this.#waiting[side].values()) {
        row.ack = "lost";
        this.#emit("answer", row);
      }
      this.#waiting[side].clear();
    }
  }

  #see(dir, { type, data }) {
    if (type === "message" && typeof data !== "string") return this.#attachment(dir, data);
    const size = typeof data === "string" ? encoder.encode(data).length : 0;
    this.bytes[dir] += size + 1;
    if (type !== "message") {
      return this.#emit("row", this.#row(dir, { kind: "beat", name: type, args: data ?? null, bytes: size + 1, beat: type !== "open" && type !== "close" }));
    }
    const packet = readPacket(data);
    const row = this.#row(dir, { kind: packet?.kind ?? "unknown", nsp: packet?.nsp, id: packet?.id ?? null, bytes: size + 1 });
    if (!packet) {
      row.name = "unreadable";
      row.args = data;
      return this.#emit("row", row);
    }
    if (packet.kind === "event") {
      row.name = String(packet.data?.[0]);
      row.args = packet.data?.slice(1) ?? [];
      if (dir === "in" && row.name === this.#greeting) this.#replaying.delete(packet.nsp);
      row.replayed = dir === "in" && this.#replaying.has(packet.nsp);
      if (dir === "in" && packet.id === null && this.#recoverable.has(packet.nsp) && typeof row.args.at(-1) === "string") row.offset = row.args.pop();
      row.beat = row.name === "echo";
      if (packet.id !== null) row.ack = "waiting";
    } else {
      row.name = packet.kind;
      row.args = packet.data;
      if (packet.kind === "connect") this.#connect(dir, packet);
      if (packet.kind === "disconnect") this.#replaying.delete(packet.nsp);
    }
    if (packet.attachments > 0) {
      row.missing = packet.attachments;
      this.#partial[dir] = row;
      return;
    }
    this.#complete(row);
  }

  // A session that is asked for and given is gone on with; what it missed follows.
  #connect(dir, { nsp, data }) {
    const pid = data?.pid;
    if (dir === "out") {
      this.#claims.set(nsp, pid);
      return;
    }
    if (pid) this.#recoverable.add(nsp);
    else this.#recoverable.delete(nsp);
    if (pid && pid === this.#claims.get(nsp)) this.#replaying.add(nsp);
  }

  #attachment(dir, data) {
    const size = sizeOf(data);
    this.bytes[dir] += size;
    const row = this.#partial[dir];
    if (!row) return;
    row.sizes.push(size);
    row.bytes += size;
    if (row.sizes.length < row.missing) return;
    this.#partial[dir] = null;
    row.args = withSizes(row.args, row.sizes);
    this.#complete(row);
  }

  // An ack has no line of its own: it is shown on the event that it answers.
  #complete(row) {
    if (row.kind === "ack") {
      const asked = this.#waiting[row.dir === "in" ? "out" : "in"];
      const event = asked.get(`${row.nsp} ${row.id}`);
      asked.delete(`${row.nsp} ${row.id}`);
      if (event) {
        event.ack = "done";
        event.rtt = row.at - event.at;
        event.answer = row.args;
        event.answerBytes = row.bytes;
        this.#emit("answer", event);
        this.#emit("passed", row);
        return;
      }
    }
    if (row.ack === "waiting") this.#waiting[row.dir].set(`${row.nsp} ${row.id}`, row);
    this.#emit("row", row);
  }

  #row(dir, fields) {
    return {
      dir, name: "", nsp: "", id: null, args: null, offset: null, sizes: [], beat: false, replayed: false,
      ack: null, rtt: null, answer: null, at: performance.now(), time: new Date(), ...fields,
    };
  }

  #emit(type, row) {
    this.dispatchEvent(new CustomEvent(type, { detail: row }));
    if (type === "row") this.dispatchEvent(new CustomEvent("passed", { detail: row }));
  }
}
