// Runs the cases of DESIGN section 2 against zishang520/socket.io v2.5.0, with Node's server as the control, and
// prints a table. Any argument is part of a case's name: only such cases run.
//
//   npm ci && npm run compare
import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cases } from "./cases.mjs";
import { Server } from "./server.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const zishang = join(here, "../zishang");
execFileSync("go", ["build", "-o", "bin/zishang", "."], { cwd: zishang, stdio: "inherit" });

const servers = {
  "socket.io 4.8.4": [process.execPath, join(here, "node-app.mjs")],
  "zishang520 v2.5.0": [join(zishang, "bin/zishang")],
};

async function outcome(command, run, args) {
  const server = await Server.start(command, ...args);
  try {
    return await run(server);
  } catch (err) {
    return server.alive ? `failed: ${err.message}` : "the process dies";
  } finally {
    await server.stop();
  }
}

const wanted = process.argv.slice(2);
console.log(`| stock client 4.8.4, loopback | ${Object.keys(servers).join(" | ")} |`);
console.log("|---|---|---|");
for (const [name, run, ...args] of cases) {
  if (wanted.length > 0 && !wanted.some((part) => name.includes(part))) continue;
  const results = [];
  for (const command of Object.values(servers)) results.push(await outcome(command, run, args));
  console.log(`| ${name} | ${results.join(" | ")} |`);
}
process.exit(0);
