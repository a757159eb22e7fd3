// Server-side operations asked for over HTTP: what testserver/control.go does.

const inspect = async (io, ledger) => {
  global.gc?.();
  const namespaces = {};
  let rooms = 0;
  for (const [name, nsp] of io._nsps) {
    if (!/^\/(dynamic|by-name)-/.test(name)) namespaces[name] = nsp.sockets.size;
    for (const room of nsp.adapter.rooms.keys()) if (!nsp.adapter.sids.has(room)) rooms++;
  }
  return {
    goroutines: null,
    heapBytes: process.memoryUsage().heapUsed + process.memoryUsage().external,
    sessions: io.engine.clientsCount,
    sockets: [...io._nsps.values()].reduce((sum, nsp) => sum + nsp.sockets.size, 0),
    rooms,
    namespaceCount: io._nsps.size,
    namespaces,
    panics: 0,
    ...ledger.totals(),
  };
};

const target = (io, { nsp = "/", rooms = [], except = [], volatile = false, compress, timeout }) => {
  let to = io.of(nsp);
  if (rooms.length) to = to.to(rooms);
  if (except.length) to = to.except(except);
  if (volatile) to = to.volatile;
  if (compress !== undefined) to = to.compress(compress);
  if (timeout !== undefined) to = to.timeout(timeout);
  return to;
};

const operations = (io, ledger) => ({
  forget: () => ledger.forget(),

  /** `times` events; with `numbered` each carries its number first; with `bytes` a text of that length last. */
  emit(body) {
    const { event, args = [], times = 1, numbered = false, bytes = 0 } = body;
    const text = bytes ? ["x".repeat(bytes)] : [];
    for (let i = 0; i < times; i++) target(io, body).emit(event, ...(numbered ? [i] : []), ...args, ...text);
  },

  emitWithAck(body) {
    return new Promise((resolve) => {
      target(io, body).emit(body.event, ...(body.args ?? []), (error, responses) => {
        // Socket.IO hands over the first argument of each answer only.
        resolve({ timedOut: Boolean(error), responses: responses.map((r) => (r === undefined ? [] : [r])), missing: null });
      });
    });
  },

  async fetchSockets(body) {
    const sockets = await target(io, body).fetchSockets();
    return sockets.map((s) => ({ id: s.id, rooms: [...s.rooms].sort(), data: s.data }));
  },

  socketsJoin: (body) => target(io, body).socketsJoin(body.names),
  socketsLeave: (body) => target(io, body).socketsLeave(body.names),
  disconnectSockets: (body) => target(io, body).disconnectSockets(body.close ?? false),

  /** To every child of the namespaces that match /dynamic-<number>. */
  emitToChildren({ event, args = [] }) {
    io.parentNsps.forEach((nsp, fn) => fn("/dynamic-0", {}, (_, yes) => yes && nsp.emit(event, ...args)));
  },
});

export function controlHandler(io, ledger) {
  const ops = operations(io, ledger);
  return async (request, response) => {
    const url = new URL(request.url, "http://test");
    const answer = (status, value) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(value ?? null));
    };
    try {
      if (url.pathname === "/test/stats") return answer(200, await inspect(io, ledger));
      if (url.pathname === "/test/sockets") return answer(200, ledger.find(url.searchParams.get("id")));
      if (url.pathname !== "/test/control") return answer(404, "not found");
      let text = "";
      for await (const chunk of request) text += chunk;
      const body = JSON.parse(text);
      if (!Object.hasOwn(ops, body.op)) return answer(400, `unknown operation ${body.op}`);
      answer(200, await ops[body.op](body));
    } catch (error) {
      answer(500, String(error.stack));
    }
  };
}
