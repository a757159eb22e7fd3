// HTTP requests that no honest client sends.

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import { useBystander } from "./lib/bystander.mjs";
import { holdfastOnly, isNode } from "./lib/env.mjs";
import { exchange, RawConnection, RawPolling } from "./lib/raw-http.mjs";
import { useServer } from "./lib/server.mjs";
import { within } from "./lib/waiting.mjs";

const MB = 1_000_000;
const HANDSHAKE = "/socket.io/?EIO=4&transport=polling";

// Whether the session is gone: its next poll is refused.
async function ended(polling) {
  const response = await polling.poll();
  return response.status === 400 && JSON.parse(response.body).code === 1;
}

describe("bodies", () => {
  const server = useServer({ maxPayload: MB, pingInterval: "500ms", pingTimeout: "3s", connectTimeout: "5s" });
  const bystander = useBystander(server);
  afterEach(() => bystander.unharmed());

  // Sends up to `total` bytes by `wrap`ped chunks, until all are sent or the server has answered or hung up.
  async function pour(connection, total, wrap) {
    const chunk = Buffer.alloc(64 * 1024, "x");
    let sent = 0;
    const answered = connection.response(30_000).catch((error) => ({ error }));
    let over = false;
    answered.then(() => (over = true));
    while (sent < total && !over && !connection.socket.destroyed) {
      await connection.write(wrap(chunk));
      sent += chunk.length;
    }
    return { sent, response: await answered };
  }

  for (const [name, headers, wrap] of [
    ["by length", { "Content-Length": 100 * MB }, (chunk) => chunk],
    ["in chunks", { "Transfer-Encoding": "chunked" }, (chunk) => Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from("\r\n")])],
  ]) {
    test(`a POST of 100 MB ${name}: 413, long before its end`, async () => {
      const polling = await RawPolling.join(server);
      const connection = new RawConnection(server);
      await connection.request("POST", polling.url, { headers });
      const { sent, response } = await pour(connection, 100 * MB, wrap);
      if (response.error) assert.match(response.error.message, /ECONNRESET|EPIPE|closed without an answer/);
      else assert.equal(response.status, 413);
      assert.ok(sent < 40 * MB, `took ${sent} bytes`);
      connection.destroy();
      const { heapBytes } = await server.stats();
      assert.ok(heapBytes < 64 * MB, `holds ${heapBytes} bytes`);
    });
  }

  test("a POST just above maxPayload: 413, and the client can read it", async () => {
    const polling = await RawPolling.join(server);
    assert.equal((await polling.post("4".repeat(MB + 1))).status, 413);
  });

  test("a POST of exactly maxPayload is taken", async () => {
    const polling = await RawPolling.join(server);
    const head = '42["note","';
    const post = await polling.post(`${head}${"x".repeat(MB - head.length - 2)}"]`);
    assert.equal(post.status, 200);
    await polling.post("1");
  });

  test("a Content-Length that no machine could hold", async () => {
    const polling = await RawPolling.join(server);
    for (const length of ["999999999999999999", "99999999999999999999999999", "-1", "abc", "1e3"]) {
      const connection = new RawConnection(server);
      await connection.request("POST", polling.url, { headers: { "Content-Length": length } });
      const response = await connection.response().catch(() => null);
      assert.ok(response === null || response.status >= 400, `${length}: ${response?.status}`);
      connection.destroy();
    }
  });

  test("a POST that stalls ends with its session, and its connection is closed", async () => {
    const polling = await RawPolling.join(server);
    const connection = new RawConnection(server);
    await connection.request("POST", polling.url, { headers: { "Content-Length": 1000 } });
    await connection.write("42[");
    await within(connection.closed, "the server to close the stalled POST");
    assert.equal(await ended(polling), true);
  });

  test("a POST that drips a byte now and then does so too", async () => {
    const polling = await RawPolling.join(server);
    const connection = new RawConnection(server);
    await connection.request("POST", polling.url, { headers: { "Content-Length": 100_000 } });
    const dripping = setInterval(() => connection.write("x"), 50);
    await within(connection.closed, "the server to close the dripping POST").finally(() => clearInterval(dripping));
    assert.equal(await ended(polling), true);
  });

  test("50 POSTs cut off in the middle", async () => {
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        const polling = await RawPolling.join(server);
        const connection = new RawConnection(server);
        await connection.request("POST", polling.url, { headers: { "Content-Length": 1000 } });
        await connection.write("42[");
        connection.reset();
      }),
    );
  });

  test("bodies that are no payload end the session", async () => {
    const bodies = ["\x1e", "\x1e\x1e\x1e", "x", "9", "hello", "b!!!", "4x\x1e", "44{", "5", "7", "40\x1ezzz"];
    for (const body of bodies) {
      const polling = await RawPolling.join(server);
      const post = await polling.post(body);
      assert.ok(post.status === 200 || post.status === 400, `${JSON.stringify(body)}: ${post.status}`);
      if (!(await ended(polling))) await polling.post("1"); // Socket.IO lets some of them pass
    }
  });

  test("an empty body", async () => {
    const polling = await RawPolling.join(server);
    const post = await polling.post("");
    assert.ok(post.status === 200 || post.status === 400);
    await polling.post("1");
  });

  test("half a million empty packets in one body", holdfastOnly("Node is busy with them for seconds"), async () => {
    const polling = await RawPolling.join(server);
    const post = await polling.post("4\x1e".repeat(499_999) + "4");
    assert.ok(post.status === 200 || post.status === 400 || post.status === 413, String(post.status));
    assert.equal(await ended(polling), true);
  });

  test("invalid UTF-8 harms nobody", async () => {
    const polling = await RawPolling.join(server);
    const post = await polling.post(Buffer.concat([Buffer.from('42["note","'), Buffer.from([0xff, 0xc0, 0x80]), Buffer.from('"]')]));
    assert.ok(post.status === 200 || post.status === 400);
    if (!(await ended(polling))) await polling.post("1");
  });

  test("a binary body is refused", async () => {
    const polling = await RawPolling.join(server);
    const post = await polling.post("4hello", { headers: { "Content-Type": "application/octet-stream" } });
    assert.equal(post.status, 400);
    assert.equal(await ended(polling), true);
  });

  test("a body that claims to be compressed is not expanded", async () => {
    const polling = await RawPolling.join(server);
    const post = await polling.post(Buffer.from("1f8b0800000000000003", "hex"), { headers: { "Content-Encoding": "gzip" } });
    assert.ok([200, 400, 415].includes(post.status), String(post.status));
    if (!(await ended(polling))) await polling.post("1");
  });
});

describe("requests at the wrong moment", () => {
  const server = useServer({ connectTimeout: "2s", pingInterval: "1s", pingTimeout: "4s" });
  const bystander = useBystander(server);
  afterEach(() => bystander.unharmed());

  test("a second poll beside the first ends the session; both are answered", async () => {
    const polling = await RawPolling.join(server);
    const first = await polling.polling();
    await server.stats(); // the first is with the server by now
    const second = await polling.poll();
    assert.equal(second.status, 400);
    const response = await first.response().catch((error) => ({ error }));
    assert.ok(response.error || response.status === 200 || response.status === 400);
    first.destroy();
    assert.equal(await ended(polling), true);
    assert.equal((await server.disconnectOf(polling.id)).disconnects.length, 1);
  });

  test("a second POST beside the first ends the session", async () => {
    const polling = await RawPolling.join(server);
    const first = new RawConnection(server);
    await first.request("POST", polling.url, { headers: { "Content-Length": 100 } });
    await first.write("42[");
    await server.stats();
    assert.equal((await polling.post("40")).status, 400);
    first.destroy();
    assert.equal(await ended(polling), true);
  });

  test("a poll that is cancelled ends the session", async () => {
    const polling = await RawPolling.join(server);
    const poll = await polling.polling();
    await server.stats();
    poll.reset();
    const { disconnects } = await server.disconnectOf(polling.id);
    assert.equal(disconnects.length, 1);
    assert.match(disconnects[0].reason, /^transport (error|close)$/);
  });

  test("a hundred polls at once for one session", async () => {
    const polling = await RawPolling.join(server);
    const answers = await Promise.all(Array.from({ length: 100 }, () => polling.poll().catch((error) => ({ error }))));
    assert.ok(answers.filter((answer) => answer.status === 400).length >= 98);
    assert.equal(await ended(polling), true);
  });

  test("other methods on a session do not end it", async () => {
    const polling = await RawPolling.join(server);
    for (const method of ["PUT", "DELETE", "PATCH", "HEAD", "TRACE"]) {
      const response = await exchange(server, method, polling.url, { headers: { "Content-Length": 0 } }).catch(() => ({ status: 400 }));
      assert.ok(response.status >= 400, `${method}: ${response.status}`);
    }
    if (!isNode) {
      await polling.post('420["echo",1]');
      assert.deepEqual(await polling.packets(), ["430[1]"]);
    }
    await polling.post("1");
  });

  test("a thousand requests with invented session ids", async () => {
    for (let round = 0; round < 10; round++) {
      const answers = await Promise.all(
        Array.from({ length: 100 }, (_, i) => exchange(server, i % 2 ? "GET" : "POST", `${HANDSHAKE}&sid=${"x".repeat(i)}${i}`, i % 2 ? {} : { body: "40" })),
      );
      assert.ok(answers.every((answer) => answer.status === 400));
    }
  });

  test("a hundred handshakes that are never followed up", async () => {
    await Promise.all(Array.from({ length: 100 }, () => exchange(server, "GET", HANDSHAKE)));
  });

  test("pipelined requests are answered in order", async () => {
    const connection = new RawConnection(server);
    for (let i = 0; i < 20; i++) await connection.request("GET", i % 2 ? HANDSHAKE : "/socket.io/?EIO=3&transport=polling");
    for (let i = 0; i < 20; i++) assert.equal((await connection.response()).status, i % 2 ? 200 : 400);
    connection.destroy();
  });
});

describe("headers", () => {
  const server = useServer({ headerTimeout: "1s", connectTimeout: "2s" });
  const bystander = useBystander(server);
  afterEach(() => bystander.unharmed());

  // The server closes, perhaps with an answer first; never with 200.
  async function turnedAway(connection, what, ms = 15_000) {
    const response = await within(connection.response(ms), what, ms).catch((error) => {
      if (/closed|ECONNRESET|EPIPE/.test(error.message)) return null;
      throw error;
    });
    assert.ok(response === null || response.status >= 400, `${what}: ${response?.status}`);
    await within(connection.closed, `${what}: the close`, ms);
  }

  test("100 connections whose headers come a byte at a time are closed", async () => {
    const connections = Array.from({ length: 100 }, () => new RawConnection(server));
    for (const connection of connections) connection.write(`GET ${HANDSHAKE} HTTP/1.1\r\nHost: x\r\nX-Slow: `);
    const dripping = setInterval(() => connections.forEach((connection) => connection.write("x")), 100);
    await Promise.all(connections.map((connection) => turnedAway(connection, "slow headers"))).finally(() => clearInterval(dripping));
  });

  test("a websocket handshake that stops in the middle is closed", async () => {
    const connection = new RawConnection(server);
    await connection.write("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upg");
    await turnedAway(connection, "half a handshake");
  });

  test("4 MB of headers", async () => {
    const connection = new RawConnection(server);
    await connection.write(`GET ${HANDSHAKE} HTTP/1.1\r\nHost: x\r\n`);
    for (let i = 0; i < 64 && !connection.socket.destroyed; i++) await connection.write(`X-${i}: ${"x".repeat(65_000)}\r\n`);
    await turnedAway(connection, "4 MB of headers");
  });

  test("100,000 headers", async () => {
    const connection = new RawConnection(server);
    await connection.write(`GET ${HANDSHAKE} HTTP/1.1\r\nHost: x\r\n${"X: y\r\n".repeat(100_000)}\r\n`);
    const response = await connection.response().catch(() => null);
    connection.destroy();
    assert.ok(response === null || response.status >= 400 || isNode, String(response?.status));
  });

  test("a query of half a megabyte", async () => {
    const response = await exchange(server, "GET", `${HANDSHAKE}&x=${"x".repeat(500_000)}`).catch(() => null);
    assert.ok(response === null || response.status >= 400 || response.status === 200);
    if (response?.status === 200) await exchange(server, "POST", `${HANDSHAKE}&sid=${JSON.parse(response.body.toString().slice(1)).sid}`, { body: "1" });
  });

  test("what is not HTTP", async () => {
    for (const bytes of ["\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\0\0\0\0\r\n\r\n", "GET\r\n\r\n"]) {
      const connection = new RawConnection(server);
      await connection.write(Buffer.from(bytes, "latin1"));
      await turnedAway(connection, JSON.stringify(bytes));
    }
  });

  test("an origin with a line break in it cannot forge headers", async () => {
    const connection = new RawConnection(server);
    await connection.write(`GET ${HANDSHAKE} HTTP/1.1\r\nHost: x\r\nOrigin: https://a\x01\x7fb\r\nConnection: close\r\n\r\n`);
    const response = await connection.response().catch(() => null);
    assert.ok(response === null || response.headers["access-control-allow-origin"] === undefined);
    connection.destroy();
    if (response?.status === 200) await exchange(server, "POST", `${HANDSHAKE}&sid=${JSON.parse(response.body.toString().slice(1)).sid}`, { body: "1" });
  });

  test("a cookie, a path and a host that are long, odd or missing", async () => {
    for (const headers of [{ Cookie: "x".repeat(8000) }, { Host: "é" }, { Host: "" }, { "X-Forwarded-For": "x".repeat(8000) }]) {
      const response = await exchange(server, "GET", HANDSHAKE, { headers }).catch(() => null);
      if (response?.status === 200) {
        await exchange(server, "POST", `${HANDSHAKE}&sid=${JSON.parse(response.body.toString().slice(1)).sid}`, { body: "1" });
      }
    }
  });
});
