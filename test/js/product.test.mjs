// The binary as it is shipped: its pages, its root namespace, its commands, its end.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ask, connect, disconnected, settled, TRANSPORTS } from "./lib/clients.mjs";
import { holdfastOnly } from "./lib/env.mjs";
import { Product, useProduct } from "./lib/product.mjs";
import { exchange, RawConnection } from "./lib/raw-http.mjs";
import { collect, eventually, next, within } from "./lib/waiting.mjs";

describe("holdfast serve", holdfastOnly("there is no such binary for Node"), () => {
  const product = useProduct();
  const get = (path, headers) => exchange(product, "GET", path, { headers });

  test("healthz, readyz, metrics and the demo page answer", async () => {
    assert.equal((await get("/healthz")).status, 200);
    assert.equal((await get("/readyz")).status, 200);
    const metrics = await get("/metrics");
    assert.equal(metrics.status, 200);
    assert.match(metrics.body.toString(), /^holdfast_/m);
    const page = await get("/");
    assert.equal(page.status, 200);
    assert.match(page.headers["content-type"], /^text\/html/);
  });

  test("the official client is served", async () => {
    for (const file of ["socket.io.js", "socket.io.min.js", "socket.io.esm.min.js", "socket.io.js.map"]) {
      const response = await get(`/socket.io/${file}`);
      assert.equal(response.status, 200, file);
      assert.match(response.headers["content-type"], file.endsWith(".map") ? /json/ : /javascript/);
    }
  });

  for (const via of TRANSPORTS) {
    test(`${via}: echo, join, publish, leave`, async () => {
      const [ann, bob] = [await settled(product, { via }), await settled(product, { via })];
      assert.deepEqual(await new Promise((resolve) => ann.emit("echo", 1, { a: [Buffer.from("b")] }, (...args) => resolve(args))), [1, { a: [Buffer.from("b")] }]);
      const echo = next(ann, "echo");
      ann.emit("echo", "back");
      assert.equal((await echo)[0], "back");
      const room = `room ${via}`;
      assert.deepEqual(await ask(ann, "join", room), { ok: true });
      assert.deepEqual(await ask(bob, "join", room), { ok: true });
      const heard = Promise.all([collect(ann, "news", 3), collect(bob, "news", 3)]);
      for (let n = 0; n < 3; n++) assert.deepEqual(await ask(ann, "publish", room, "news", n), { ok: true });
      assert.deepEqual(await heard, [[0, 1, 2], [0, 1, 2]]);
      assert.deepEqual(await ask(bob, "leave", room), { ok: true });
    });

    test(`${via}: payloads of 70 KB and 900 KB`, async () => {
      const socket = await settled(product, { via });
      for (const size of [70_000, 900_000]) {
        const text = "x".repeat(size);
        assert.ok((await ask(socket, "echo", text)) === text);
      }
    });
  }

  test("an error reaches the ack as { error: { code, message } }", async () => {
    const socket = await connect(product);
    const { error } = await ask(socket, "join", { not: "a room" });
    assert.equal(typeof error.code, "string");
    assert.equal(typeof error.message, "string");
  });

  test("what is no one's page is 404, on every method", async () => {
    for (const method of ["GET", "POST", "DELETE"]) assert.equal((await exchange(product, method, "/nowhere", { headers: { "Content-Length": 0 } })).status, 404, method);
  });

  test("too many headers are refused", async () => {
    const connection = new RawConnection(product);
    await connection.write(`GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n${"X: y\r\n".repeat(100_000)}\r\n`);
    const response = await connection.response().catch(() => null);
    assert.ok(response === null || response.status >= 400, String(response?.status));
    connection.destroy();
  });

  test("paths out of the pages' directory are not served", async () => {
    for (const path of ["/../config.yaml", "/..%2fconfig.yaml", "/socket.io/../../config.yaml", "/socket.io/%2e%2e/%2e%2e/etc/passwd", "/socket.io/..%5c..%5cmain.go", "/static/../main.go", "//etc/passwd", "/socket.io/socket.io.js/../../../package.json"]) {
      const response = await get(path);
      assert.ok(response.status >= 300, `${path}: ${response.status}`);
      assert.doesNotMatch(response.body.toString(), /root:|socket\.io-client|listen:/, path);
    }
  });
});

describe("the end of holdfast serve", holdfastOnly("there is no such binary for Node"), () => {
  test("SIGTERM: readyz says so, clients are told, handlers end, the process ends with 0", async () => {
    const product = await new Product().start();
    const sockets = await Promise.all(TRANSPORTS.map((via) => settled(product, { via })));
    const answers = sockets.map((socket) => ask(socket, "echo", 1));
    const gone = Promise.all(sockets.map((socket) => disconnected(socket, 30_000)));
    await Promise.all(answers);
    product.signal("SIGTERM");
    for (const { reason } of await gone) assert.match(reason, /^(io server disconnect|transport close|transport error)$/);
    for (const socket of sockets) socket.disconnect();
    const { code } = await within(product.exited, "the process to end", 30_000);
    assert.equal(code, 0);
    await product.stop().catch((error) => assert.doesNotMatch(error.message, /DATA RACE|panic/));
  });

  test("killed and started again: stock clients come back, with what they missed", async () => {
    const product = await new Product().start();
    const options = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 50 };
    const [ann, bob] = [await settled(product, options), await settled(product, options)];
    const heard = [];
    bob.on("news", (n) => heard.push(n));
    await ask(bob, "join", "r");
    for (let n = 0; n < 20; n++) assert.deepEqual(await ask(ann, "publish", "r", "news", n), { ok: true });
    await product.kill();
    const back = Promise.all([next(ann, "connect", 30_000), next(bob, "connect", 30_000)]);
    await product.start();
    await back;
    assert.equal(bob.recovered, true);
    for (let n = 20; n < 40; n++) assert.deepEqual(await ask(ann, "publish", "r", "news", n), { ok: true });
    await eventually("all the news", () => heard.length >= 40);
    assert.deepEqual(heard, Array.from({ length: 40 }, (_, n) => n));
    ann.disconnect();
    bob.disconnect();
    await product.stop();
  });
});

describe("commands and configuration", holdfastOnly("there is no such binary for Node"), () => {
  test("version, default-config and check-config", async () => {
    const product = new Product();
    assert.equal((await product.command("version")).code, 0);
    const config = await product.command("default-config");
    assert.equal(config.code, 0);
    assert.match(config.output, /^ping_interval: 25s$/m);
    assert.equal((await product.command("check-config")).code, 0);
    await product.stop();
  });

  test("an unknown key in the environment is an error that names the nearest one", async () => {
    const product = new Product({ ping_intervall: "1s" });
    const { code, output } = await product.command("check-config");
    assert.notEqual(code, 0);
    assert.match(output, /HOLDFAST_PING_INTERVALL[^]*PING_INTERVAL\b/i);
    await product.stop();
  });

  test("settings of the environment reach the protocol", async () => {
    const product = await new Product({ ping_interval: "3s", ping_timeout: "2s", max_payload: "200KB", "cookie.enabled": true, transports: "polling" }).start();
    const response = await exchange(product, "GET", "/socket.io/?EIO=4&transport=polling");
    const { pingInterval, pingTimeout, maxPayload, upgrades } = JSON.parse(response.body.toString().slice(1));
    assert.deepEqual({ pingInterval, pingTimeout, maxPayload, upgrades }, { pingInterval: 3000, pingTimeout: 2000, maxPayload: 200_000, upgrades: [] });
    assert.match(response.headers["set-cookie"], /^io=/);
    await product.stop();
  });
});
