// One connection to /chat through the stock client: its state as the page shows it,
// and the ways to disturb it.

const TRANSPORTS = {
  auto: ["polling", "websocket"],
  polling: ["polling"],
  websocket: ["websocket"],
};

const PROBE_EVERY = 2000;
const PROBE_TIMEOUT = 5000;

// An event that isn't acknowledged in this time is sent again, so often. The server
// knows it by its id: a second sending is not a second message.
const ACK_TIMEOUT = 8000;
const RETRIES = 20;

/**
 * States:
 *   connecting  the first attempt
 *   online      connected to /chat
 *   cut         the connection was lost; the client is about to come back
 *   gone        an attempt to come back failed: the server doesn't answer
 *   offline     left by this page, until resume()
 *   replaced    another window took this name over
 *   refused     the server said no (detail in `refusal`)
 *   dismissed   the server ended this socket; the client does not come back by itself
 *   closed      close() was called
 *
 * Emits "change" with {state, was}, "transport", "rtt" with a figure in milliseconds.
 */
export class Connection extends EventTarget {
  state = "connecting";
  transport = "none";
  upgrading = false;
  recovered = false;
  attempts = 0;
  returns = 0;
  since = 0;
  lostAt = 0;
  awayFor = 0;
  refusal = null;
  /** The place in the server's log of the newest event that arrived; the server puts it behind the arguments. */
  offset = null;

  #manager;
  #probe = null;
  #everOnline = false;

  constructor(client, tap, { name, key, transport }) {
    super();
    this.tap = tap;
    this.#manager = new client.Manager({
      autoConnect: false,
      transports: TRANSPORTS[transport],
      reconnectionDelay: 1000,
      reconnectionDelayMax: 4000,
      timeout: 10000,
    });
    // Before the socket is made: its own listener on "open" sends CONNECT, and the tap
    // must not miss it.
    this.#manager.on("open", () => this.#opened());
    this.#manager.on("reconnect_attempt", (n) => {
      this.attempts = n;
      this.dispatchEvent(new Event("attempt"));
    });
    this.#manager.on("error", () => this.#failed());
    this.#manager.on("reconnect_error", () => this.#failed());

    this.socket = this.#manager.socket("/chat", { auth: { name, key }, retries: RETRIES, ackTimeout: ACK_TIMEOUT });
    this.socket.on("connect", () => this.#connected());
    this.socket.on("disconnect", (reason) => this.#disconnected(reason));
    this.socket.on("connect_error", (err) => this.#refused(err));
    this.socket.onAny((_, ...args) => {
      if (typeof args.at(-1) === "string") this.offset = args.at(-1);
    });
    this.socket.on("replaced", () => {
      this.replaced = true;
    });
  }

  open() {
    this.socket.connect();
  }

  /** Drops the transport, as a lost network does; the client comes back by itself. */
  cut() {
    this.tap.note("The line was cut from this window");
    this.#manager.engine?.close();
  }

  /** Drops the transport and stays away until resume(). The server isn't told goodbye. */
  goOffline() {
    if (!this.lostAt || this.state === "online") this.lostAt = Date.now();
    this.#manager.reconnection(false);
    if (this.state === "online") this.tap.note("Offline: this window stays away");
    this.#manager.engine?.close();
    if (this.state !== "offline") this.#set("offline");
  }

  /** Comes back at once, from offline as well as from the middle of a long wait. */
  resume() {
    this.replaced = false;
    this.#manager.reconnection(true);
    if (this.socket.connected) return;
    // Not connected, so disconnect() sends nothing: it ends the client's waiting.
    this.socket.disconnect();
    if (this.state === "offline" || this.state === "replaced") this.#set("cut");
    this.socket.connect();
  }

  /** From the next connection on; a connection that stands is cut for it. */
  useTransport(name) {
    this.#manager.opts.transports = TRANSPORTS[name];
    if (this.state === "online") {
      this.tap.note(`Transport set to: ${TRANSPORTS[name].join(", then ")}`);
      this.#manager.engine?.close();
    }
  }

  /** Says goodbye and ends for good. */
  close() {
    this.#set("closed");
    this.socket.disconnect();
    this.socket.off();
    this.socket.offAny();
    this.#manager.off();
    clearInterval(this.#probe);
  }

  #opened() {
    const { engine } = this.#manager;
    this.tap.attach(engine);
    this.#carriedBy(engine.transport.name);
    const from = engine.transport.name;
    let began = 0;
    engine.on("upgrading", () => {
      began = performance.now();
      this.upgrading = true;
      this.dispatchEvent(new Event("transport"));
    });
    engine.on("upgrade", (transport) => {
      this.upgrading = false;
      this.tap.note(`Upgraded from ${from} to ${transport.name} in ${Math.round(performance.now() - began)} ms`);
      this.#carriedBy(transport.name);
    });
    engine.on("upgradeError", () => {
      this.upgrading = false;
      if (engine.readyState !== "open") return; // it was closed meanwhile: nothing failed
      this.tap.note("The upgrade failed: polling goes on");
      this.dispatchEvent(new Event("transport"));
    });
    engine.on("close", () => this.#carriedBy("none"));
  }

  #carriedBy(name) {
    this.transport = name;
    this.dispatchEvent(new Event("transport"));
  }

  #connected() {
    this.recovered = Boolean(this.socket.recovered);
    this.since = Date.now();
    this.attempts = 0;
    this.refusal = null;
    if (this.#everOnline) {
      this.returns += 1;
      this.awayFor = Date.now() - this.lostAt;
    }
    this.returning = this.#everOnline;
    this.#everOnline = true;
    this.#set("online");
    this.#startProbing();
  }

  #disconnected(reason) {
    this.reason = reason;
    clearInterval(this.#probe);
    if (this.state === "closed") return;
    this.lostAt = Date.now();
    this.tap.note(`Disconnected: ${reason}`);
    if (this.replaced) this.#set("replaced");
    else if (reason === "io server disconnect") this.#set("dismissed");
    else if (this.#manager.reconnection()) this.#set("cut");
    else this.#set("offline");
  }

  #failed() {
    if (this.state === "closed" || this.state === "offline" || this.state === "refused") return;
    if (!this.lostAt) this.lostAt = Date.now();
    if (!this.socket.connected) this.#set("gone");
  }

  // Errors of the transport come here as well; only the server's own refusal ends the
  // socket's attempts.
  #refused(err) {
    if (this.socket.active || this.state === "offline" || this.state === "closed") return;
    this.refusal = { message: err.message, code: err.data?.code };
    this.#set("refused");
  }

  #startProbing() {
    clearInterval(this.#probe);
    const probe = () => {
      if (!this.socket.connected || document.hidden) return;
      const sent = performance.now();
      this.socket.volatile.timeout(PROBE_TIMEOUT).emit("echo", Math.round(sent), (err) => {
        if (!err) this.dispatchEvent(new CustomEvent("rtt", { detail: performance.now() - sent }));
      });
    };
    probe();
    this.#probe = setInterval(probe, PROBE_EVERY);
  }

  #set(state) {
    const was = this.state;
    this.state = state;
    this.dispatchEvent(new CustomEvent("change", { detail: { state, was } }));
  }
}
