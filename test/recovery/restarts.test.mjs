// A server that is stopped in order and started again, as for an update: clients come back by themselves, recovered, with
// nothing missed.

import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { App } from "./lib/app.mjs";
import { end } from "./lib/people.mjs";
import { randomness, sizes } from "./lib/sizes.mjs";
import { Stage } from "./lib/stage.mjs";

test("a server that is stopped by SIGTERM and started again, with publishers at work", async (t) => {
  const random = randomness(t);
  const app = await new App().start();
  t.after(() => end(app));
  const stage = await Stage.set(app, { random, clients: Math.ceil(sizes.clients / 2) });
  stage.publish(5 * sizes.rate);
  for (let i = 0; i < sizes.restarts; i++) {
    await pause(random.between(500, 2000));
    await app.terminate();
    await app.start();
  }
  t.diagnostic(JSON.stringify(await stage.close()));
});
