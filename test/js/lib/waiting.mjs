// Waiting for events and conditions. Every wait has a limit, so that a lost event fails the test that
// waits for it, by name, instead of hanging the run.

const DEFAULT_LIMIT = 20_000;

export class WaitError extends Error {
  constructor(what, ms, detail = "") {
    super(`waited ${ms} ms for ${what}${detail && `: ${detail}`}`);
    this.name = "WaitError";
  }
}

/** A promise with its resolve and reject at hand. */
export function deferred() {
  const d = {};
  d.promise = new Promise((resolve, reject) => Object.assign(d, { resolve, reject }));
  d.promise.catch(() => {}); // whoever awaits it still sees the rejection
  return d;
}

/** Fails with the name of what was waited for when `promise` takes longer than `ms`. */
export function within(promise, what, ms = DEFAULT_LIMIT) {
  let timer;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new WaitError(what, ms)), ms);
  });
  return Promise.race([promise, limit]).finally(() => clearTimeout(timer));
}

/** The arguments of the emitter's next `event`, as an array. */
export function next(emitter, event, ms = DEFAULT_LIMIT) {
  const { promise, resolve } = deferred();
  const listener = (...args) => resolve(args);
  emitter.once(event, listener);
  return within(promise, `the event "${event}"`, ms).finally(() => emitter.off(event, listener));
}

/** Collects the first argument of `count` events, in order of arrival. */
export function collect(emitter, event, count, ms = DEFAULT_LIMIT) {
  const values = [];
  const { promise, resolve } = deferred();
  const listener = (value) => {
    values.push(value);
    if (values.length === count) resolve(values);
  };
  emitter.on(event, listener);
  return within(promise, `${count} events "${event}"`, ms)
    .catch((error) => {
      throw new WaitError(`${count} events "${event}"`, ms, `${values.length} came (${error.message})`);
    })
    .finally(() => emitter.off(event, listener));
}

/** Asks `probe` again and again until it returns something truthy, and returns that. */
export async function eventually(what, probe, ms = DEFAULT_LIMIT) {
  const end = Date.now() + ms;
  let pause = 2;
  for (;;) {
    const value = await probe();
    if (value) return value;
    if (Date.now() > end) throw new WaitError(what, ms);
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, 200);
  }
}

/** Asks `read` until `accept` takes its value; a failure shows the last value. */
export async function settles(what, read, accept, ms = DEFAULT_LIMIT) {
  let last;
  try {
    return await eventually(what, async () => accept((last = await read())) && { value: last }, ms).then((r) => r.value);
  } catch (error) {
    if (error instanceof WaitError) throw new WaitError(what, ms, `last seen ${JSON.stringify(last)?.slice(0, 2000)}`);
    throw error;
  }
}

/** Runs `task(i)` for 0..count-1, at most `width` at a time, and returns the results in order. */
export async function parallel(count, width, task) {
  const results = new Array(count);
  let index = 0;
  const worker = async () => {
    while (index < count) {
      const i = index++;
      results[i] = await task(i);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, worker));
  return results;
}
