// Clients whose links are cut all the time, while events go on: each has every event of its rooms, in order, each once.

import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { App } from "./lib/app.mjs";
import { end } from "./lib/people.mjs";
import { randomness, sizes } from "./lib/sizes.mjs";
import { Stage } from "./lib/stage.mjs";

test("links that are cut for half a second to three, every five seconds", async (t) => {
  const random = randomness(t);
  const app = await new App().start();
  t.after(() => end(app));
  const stage = await Stage.set(app, { random, clients: sizes.clients });
  stage.publish(sizes.rate);
  stage.cutLinks();
  await pause(sizes.seconds * 1000); // the scenario's length
  t.diagnostic(JSON.stringify(await stage.close()));
});
