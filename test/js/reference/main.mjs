// The test server on Socket.IO itself: what a test expects of Holdfast is proven here first.

import http from "node:http";
import { Server } from "socket.io";
import { buildApp } from "./app.mjs";
import { controlHandler } from "./control.mjs";
import { parseFlags } from "./flags.mjs";
import { Ledger } from "./ledger.mjs";
import { attachEcho, buildSocketSuite, suiteOptions } from "./suites.mjs";

const flags = parseFlags(process.argv.slice(2));
const ledger = new Ledger();
const httpServer = http.createServer({ headersTimeout: flags["header-timeout"], connectionsCheckingInterval: 500 });

let close;
if (flags.suite === "engine" || flags.suite === "echo") {
  const own = { pingInterval: flags["ping-interval"], pingTimeout: flags["ping-timeout"], maxHttpBufferSize: flags["max-payload"] };
  const engine = attachEcho(httpServer, flags.suite === "engine" ? suiteOptions : own);
  close = () => engine.close();
} else {
  const cors = flags["cors-origins"].length
    ? { origin: flags["cors-origins"].includes("*") ? "*" : flags["cors-origins"], credentials: flags["cors-credentials"] }
    : undefined;
  const io = new Server(httpServer, {
    path: flags.path,
    serveClient: false,
    transports: flags.transports,
    allowUpgrades: flags["allow-upgrades"],
    pingInterval: flags["ping-interval"],
    pingTimeout: flags["ping-timeout"],
    upgradeTimeout: flags["upgrade-timeout"],
    connectTimeout: flags["connect-timeout"],
    maxHttpBufferSize: flags["max-payload"],
    cookie: flags.cookie ? { name: flags.cookie } : undefined,
    cors,
    httpCompression: flags["http-compression"] ? { threshold: 1024 } : false,
    perMessageDeflate: flags["per-message-deflate"] ? { threshold: 1024 } : false,
    cleanupEmptyChildNamespaces: flags["cleanup-empty-child-namespaces"],
    ...(flags["refuse-header"] && {
      allowRequest: (req, done) => done("not this one", req.headers[flags["refuse-header"]] === undefined),
    }),
    ...(flags.suite === "socket" && suiteOptions),
  });
  if (flags.suite === "socket") buildSocketSuite(io);
  else buildApp(io, ledger);
  if (flags["extra-header"]) {
    io.engine.on("initial_headers", (headers) => (headers["x-initial"] = "yes"));
    io.engine.on("headers", (headers) => (headers["x-every"] = "yes"));
  }
  const control = controlHandler(io, ledger);
  httpServer.on("request", (req, res) => req.url.startsWith("/test/") && control(req, res));
  close = () => io.close();
}

const [host, port] = flags.listen.split(":");
httpServer.listen(Number(port), host, () => {
  const { address, port } = httpServer.address();
  console.log(`listening ${address}:${port}`);
});

process.on("SIGTERM", () => {
  close();
  httpServer.close(() => process.exit(0));
  httpServer.closeAllConnections();
});
