// What every hostile test asks for besides the refusal itself: others notice nothing, and memory, goroutines and
// sessions go back to where they were.

import assert from "node:assert/strict";
import { after, afterEach, before } from "node:test";
import { io } from "socket.io-client";
import { connected } from "./clients.mjs";
import { isNode } from "./env.mjs";
import { within } from "./waiting.mjs";

const MB = 1 << 20;

/** A stock client that is there during all tests of a suite. Use inside the suite, after useServer(server). */
export function useBystander(server, { heapSlack = 8 * MB, goroutineSlack = 4 } = {}) {
  const bystander = {};
  const losses = [];
  let resting;

  before(async () => {
    bystander.socket = io(server.url, { transports: ["websocket"], reconnection: false, forceNew: true });
    await connected(bystander.socket);
    bystander.socket.on("disconnect", (reason) => losses.push(reason));
    await bystander.echo();
    resting = await server.stats();
  });
  afterEach(() => assert.deepEqual(losses, [], "the bystander was cut off"));
  after(() => bystander.socket.disconnect());

  bystander.echo = () => within(bystander.socket.emitWithAck("echo", "alive"), "the bystander's ack");

  /** Fails unless the bystander is well and the server at rest again. */
  bystander.unharmed = async (ms = 15_000) => {
    assert.equal(await bystander.echo(), "alive");
    const atRest = (s) =>
      s.sessions === resting.sessions &&
      s.sockets === resting.sockets &&
      (isNode || (s.goroutines <= resting.goroutines + goroutineSlack && s.heapBytes <= resting.heapBytes + heapSlack));
    try {
      return await server.statsWhen(`the server to be at rest again: ${resting.goroutines} goroutines, ${resting.heapBytes} bytes`, atRest, ms);
    } catch (error) {
      if (!isNode) error.message += `\n${await server.goroutines()}`;
      throw error;
    }
  };

  return bystander;
}
