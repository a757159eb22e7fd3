// What Engine.IO says over HTTP: status, error bodies, cookie, CORS, headers, compression.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import zlib from "node:zlib";
import { ask, client, connect, refused } from "./lib/clients.mjs";
import { exchange, RawPolling } from "./lib/raw-http.mjs";
import { RawWebSocket } from "./lib/raw-websocket.mjs";
import { useServer } from "./lib/server.mjs";

const HANDSHAKE = "/socket.io/?EIO=4&transport=polling";

describe("handshake and errors", () => {
  const server = useServer({ refuseHeader: "x-refuse-me" });

  test("the handshake names session, upgrades, intervals and bounds", async () => {
    const response = await exchange(server, "GET", HANDSHAKE);
    assert.equal(response.status, 200);
    assert.match(response.headers["content-type"], /^text\/plain; charset=utf-8$/i);
    assert.equal(response.headers["cache-control"], "no-store");
    const body = response.body.toString();
    assert.equal(body[0], "0");
    const { sid, ...rest } = JSON.parse(body.slice(1));
    assert.match(sid, /^[\w-]{15,}$/);
    assert.deepEqual(rest, { upgrades: ["websocket"], pingInterval: 25000, pingTimeout: 20000, maxPayload: 1000000 });
  });

  const errors = [
    ["unknown transport", "GET", "/socket.io/?EIO=4&transport=carrier-pigeon", 400, { code: 0, message: "Transport unknown" }],
    ["no transport", "GET", "/socket.io/?EIO=4", 400, { code: 0, message: "Transport unknown" }],
    ["a name of Object.prototype as transport", "GET", "/socket.io/?EIO=4&transport=constructor", 400, { code: 0, message: "Transport unknown" }],
    ["unknown sid", "GET", `${HANDSHAKE}&sid=nobody`, 400, { code: 1, message: "Session ID unknown" }],
    ["a name of Object.prototype as sid", "GET", `${HANDSHAKE}&sid=__proto__`, 400, { code: 1, message: "Session ID unknown" }],
    ["POST to an unknown sid", "POST", `${HANDSHAKE}&sid=nobody`, 400, { code: 1, message: "Session ID unknown" }],
    ["a handshake by POST", "POST", HANDSHAKE, 400, { code: 2, message: "Bad handshake method" }],
    ["a handshake by PUT", "PUT", HANDSHAKE, 400, { code: 2, message: "Bad handshake method" }],
    ["a websocket without an upgrade", "GET", "/socket.io/?EIO=4&transport=websocket", 400, { code: 3, message: "Bad request" }],
    ["no EIO", "GET", "/socket.io/?transport=polling", 400, { code: 5, message: "Unsupported protocol version" }],
    ["EIO=3", "GET", "/socket.io/?EIO=3&transport=polling", 400, { code: 5, message: "Unsupported protocol version" }],
    ["EIO=abc", "GET", "/socket.io/?EIO=abc&transport=polling", 400, { code: 5, message: "Unsupported protocol version" }],
  ];
  for (const [name, method, path, status, body] of errors) {
    test(name, async () => {
      const response = await exchange(server, method, path, method === "GET" ? {} : { body: "40" });
      assert.equal(response.status, status);
      assert.match(response.headers["content-type"], /^application\/json/);
      assert.deepEqual(JSON.parse(response.body), body);
    });
  }

  test("a request that is refused gets 403 with the reason, over websocket too", async () => {
    const response = await exchange(server, "GET", HANDSHAKE, { headers: { "X-Refuse-Me": "please" } });
    assert.equal(response.status, 403);
    assert.deepEqual(JSON.parse(response.body), { code: 4, message: "not this one" });
    const error = await RawWebSocket.open(server, { headers: { "X-Refuse-Me": "please" } }).catch((e) => e);
    assert.ok([400, 403].includes(error.response.status), `status ${error.response.status}`); // Node: 400 with the message
    assert.match(error.response.body, /not this one|Forbidden/);
    const refusal = await refused(client(server, { via: "polling", extraHeaders: { "X-Refuse-Me": "please" } }));
    assert.match(refusal.message, /xhr poll error/);
  });

  test("a session's transport is what it said it would be", async () => {
    const ws = await RawWebSocket.join(server);
    const response = await exchange(server, "GET", `${HANDSHAKE}&sid=${ws.opened.sid}`);
    assert.equal(response.status, 400);
    assert.deepEqual(JSON.parse(response.body), { code: 3, message: "Bad request" });
    ws.send('420["echo",1]');
    assert.equal(await ws.text(), "430[1]", "the session lives on");
    ws.destroy();
  });

  test("a POST answers ok, as text/html", async () => {
    const polling = await RawPolling.open(server);
    const response = await polling.post("40");
    assert.equal(response.status, 200);
    assert.equal(response.body.toString(), "ok");
    assert.match(response.headers["content-type"], /^text\/html/);
    assert.equal(response.headers["cache-control"], "no-store");
    await polling.post("1");
  });

  test("query parameters in any order, with escapes and repeats", async () => {
    for (const path of ["/socket.io/?transport=polling&EIO=4&t=abc.1", "/socket.io/?EIO=4&transport=%70olling", "/socket.io/?EIO=4&transport=polling&x=%00&x=%ff&b64=1"]) {
      assert.equal((await exchange(server, "GET", path)).status, 200, path);
    }
  });
});

describe("cookie", () => {
  const server = useServer({ cookie: "session" });

  test("the first answer sets it, carrying the session id; later ones do not", async () => {
    const polling = await RawPolling.open(server);
    assert.match(polling.handshake.headers["set-cookie"], new RegExp(`^session=${polling.opened.sid}; Path=/; HttpOnly; SameSite=Lax$`));
    const response = await polling.post("40");
    assert.equal(response.headers["set-cookie"], undefined);
    await polling.post("1");
  });

  test("a client that keeps cookies sends it back", async () => {
    const socket = await connect(server, { via: "polling", withCredentials: true });
    assert.equal(await ask(socket, "echo", 1), 1);
    assert.equal(socket.io.engine.transport.name, "polling");
  });
});

describe("CORS", () => {
  const server = useServer({ corsOrigins: "https://a.example,https://b.example", corsCredentials: true });

  test("an origin of the list is told back, with credentials", async () => {
    for (const origin of ["https://a.example", "https://b.example"]) {
      const response = await exchange(server, "GET", HANDSHAKE, { headers: { Origin: origin } });
      assert.equal(response.status, 200);
      assert.equal(response.headers["access-control-allow-origin"], origin);
      assert.equal(response.headers["access-control-allow-credentials"], "true");
      assert.match(response.headers.vary, /origin/i);
    }
  });

  test("any other origin is not", async () => {
    for (const origin of ["https://c.example", "http://a.example", "https://a.example.evil", "null"]) {
      const response = await exchange(server, "GET", HANDSHAKE, { headers: { Origin: origin } });
      assert.equal(response.headers["access-control-allow-origin"], undefined, origin);
      assert.match(response.headers.vary, /origin/i, "a cache must not mix them up");
    }
  });

  test("the preflight is answered", async () => {
    const response = await exchange(server, "OPTIONS", HANDSHAKE, {
      headers: { Origin: "https://a.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-token" },
    });
    assert.equal(response.status, 204);
    assert.equal(response.headers["access-control-allow-origin"], "https://a.example");
    assert.equal(response.headers["access-control-allow-credentials"], "true");
    assert.match(response.headers["access-control-allow-methods"], /POST/);
    assert.equal(response.headers["access-control-allow-headers"], "content-type,x-token");
    assert.equal((await server.stats()).sessions, (await server.stats()).sessions);
  });

  test("errors carry the headers too, so that a browser can read them", async () => {
    const response = await exchange(server, "GET", "/socket.io/?EIO=3&transport=polling", { headers: { Origin: "https://a.example" } });
    assert.equal(response.status, 400);
    assert.equal(response.headers["access-control-allow-origin"], "https://a.example");
  });

  test("polls and posts carry the headers", async () => {
    const headers = { Origin: "https://b.example" };
    const polling = await RawPolling.open(server, { headers });
    const post = await polling.post("40", { headers });
    assert.equal(post.headers["access-control-allow-origin"], "https://b.example");
    const poll = await polling.poll({ headers });
    assert.equal(poll.headers["access-control-allow-origin"], "https://b.example");
    await polling.post("1");
  });
});

describe("CORS for everyone, and for no one", () => {
  const everyone = useServer({ corsOrigins: "*" });
  const noOne = useServer();

  test("any origin", async () => {
    const response = await exchange(everyone, "GET", HANDSHAKE, { headers: { Origin: "https://anywhere.example" } });
    assert.equal(response.headers["access-control-allow-origin"], "*");
    assert.equal(response.headers["access-control-allow-credentials"], undefined);
  });

  test("none configured: no header at all", async () => {
    const response = await exchange(noOne, "GET", HANDSHAKE, { headers: { Origin: "https://anywhere.example" } });
    assert.equal(response.status, 200);
    assert.deepEqual(Object.keys(response.headers).filter((name) => name.startsWith("access-control")), []);
    const preflight = await exchange(noOne, "OPTIONS", HANDSHAKE, { headers: { Origin: "https://anywhere.example" } });
    assert.equal(preflight.status, 400);
  });
});

describe("headers of the application", () => {
  const server = useServer({ extraHeader: true });

  test("initial headers on the first answer, the others on every one", async () => {
    const polling = await RawPolling.open(server);
    assert.equal(polling.handshake.headers["x-initial"], "yes");
    assert.equal(polling.handshake.headers["x-every"], "yes");
    const post = await polling.post("40");
    assert.equal(post.headers["x-initial"], undefined);
    assert.equal(post.headers["x-every"], "yes");
    await polling.post("1");
  });

  test("on a websocket's handshake too", async () => {
    const ws = await RawWebSocket.open(server);
    const { headers } = await ws.upgraded;
    assert.equal(headers["x-initial"], "yes");
    assert.equal(headers["x-every"], "yes");
    ws.destroy();
  });
});

describe("HTTP compression", () => {
  const server = useServer();

  // A poll's answer with `size` bytes of text in it.
  async function answer(size, headers) {
    const polling = await RawPolling.join(server);
    await polling.post(`420["echo","${"x".repeat(size)}"]`);
    const response = await polling.poll({ headers });
    await polling.post("1");
    return response;
  }

  test("a large answer is compressed as the client accepts it", async () => {
    for (const [accepted, encoding, expand] of [["gzip", "gzip", zlib.gunzipSync], ["gzip, deflate, br", "gzip", zlib.gunzipSync], ["deflate", "deflate", zlib.inflateSync]]) {
      const response = await answer(5000, { "Accept-Encoding": accepted });
      assert.equal(response.headers["content-encoding"], encoding, accepted);
      assert.equal(expand(response.body).toString(), `430["${"x".repeat(5000)}"]`);
      assert.ok(response.body.length < 500);
    }
  });

  test("a small one is not, nor one for a client that accepts nothing", async () => {
    assert.equal((await answer(100, { "Accept-Encoding": "gzip" })).headers["content-encoding"], undefined);
    assert.equal((await answer(5000, {})).headers["content-encoding"], undefined);
    assert.equal((await answer(5000, { "Accept-Encoding": "identity" })).headers["content-encoding"], undefined);
    assert.equal((await answer(5000, { "Accept-Encoding": "gzip;q=0" })).headers["content-encoding"], undefined);
  });
});

describe("HTTP compression off", () => {
  const server = useServer({ httpCompression: false });

  test("nothing is compressed", async () => {
    const polling = await RawPolling.join(server);
    await polling.post(`420["echo","${"x".repeat(5000)}"]`);
    const response = await polling.poll({ headers: { "Accept-Encoding": "gzip" } });
    assert.equal(response.headers["content-encoding"], undefined);
    await polling.post("1");
  });
});
