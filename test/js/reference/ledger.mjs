// What the application saw of each socket, so that a test can ask afterwards.

export class Ledger {
  #sockets = new Map();

  connected(socket) {
    this.entry(socket.id, socket.nsp.name).connects++;
  }

  disconnecting(socket, reason) {
    this.entry(socket.id, socket.nsp.name).rooms.push({ reason, rooms: [...socket.rooms].sort() });
  }

  disconnected(socket, reason) {
    this.entry(socket.id, socket.nsp.name).disconnects.push({ reason });
  }

  /** Adds to what is noted of the socket under `key`. */
  note(socket, key, value) {
    const notes = this.entry(socket.id, socket.nsp.name).notes;
    (notes[key] ??= []).push(value);
  }

  entry(id, nsp = "") {
    let entry = this.#sockets.get(id);
    if (!entry) this.#sockets.set(id, (entry = { id, nsp, connects: 0, disconnects: [], rooms: [], notes: {} }));
    return entry;
  }

  find(id) {
    return this.#sockets.get(id) ?? null;
  }

  forget() {
    this.#sockets.clear();
  }

  /** { connects, disconnects, doubles, reasons } over every socket. */
  totals() {
    const totals = { connects: 0, disconnects: 0, doubles: 0, orphans: 0, reasons: {} };
    for (const { connects, disconnects } of this.#sockets.values()) {
      totals.connects += connects;
      totals.disconnects += disconnects.length;
      if (connects > 1 || disconnects.length > 1) totals.doubles++;
      if (disconnects.length > connects) totals.orphans++;
      for (const { reason } of disconnects) totals.reasons[reason] = (totals.reasons[reason] ?? 0) + 1;
    }
    return totals;
  }
}
