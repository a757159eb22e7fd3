// The test server's flags, as testserver/options.go has them: -name=value.

const milliseconds = (text) => {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text);
  if (!match) throw new Error(`not a duration: ${text}`);
  return Number(match[1]) * { ms: 1, s: 1000, m: 60_000 }[match[2]];
};
const bool = (text) => {
  if (text !== "true" && text !== "false") throw new Error(`not a bool: ${text}`);
  return text === "true";
};
const list = (text) => (text === "" ? [] : text.split(","));
const integer = (text) => {
  if (!/^\d+$/.test(text)) throw new Error(`not a number: ${text}`);
  return Number(text);
};
const string = (text) => text;

const known = {
  listen: [string, "127.0.0.1:0"],
  path: [string, "/socket.io/"],
  suite: [string, ""],
  transports: [list, ["polling", "websocket"]],
  "allow-upgrades": [bool, true],
  "ping-interval": [milliseconds, 25_000],
  "ping-timeout": [milliseconds, 20_000],
  "upgrade-timeout": [milliseconds, 10_000],
  "connect-timeout": [milliseconds, 45_000],
  "header-timeout": [milliseconds, 60_000],
  "max-payload": [integer, 1_000_000],
  "send-buffer": [integer, 0], // Socket.IO has no such bound
  "receive-buffer": [integer, 0],
  cookie: [string, ""],
  "cors-origins": [list, []],
  "cors-credentials": [bool, false],
  "http-compression": [bool, true],
  "per-message-deflate": [bool, false],
  "cleanup-empty-child-namespaces": [bool, false],
  "refuse-header": [string, ""],
  "extra-header": [bool, false],
  "log-level": [string, "warn"],
};

export function parseFlags(args) {
  const flags = Object.fromEntries(Object.entries(known).map(([name, [, fallback]]) => [name, fallback]));
  for (const arg of args) {
    const match = /^--?([a-z-]+)=(.*)$/s.exec(arg);
    if (!match || !known[match[1]]) throw new Error(`unknown flag: ${arg}`);
    flags[match[1]] = known[match[1]][0](match[2]);
  }
  return flags;
}
