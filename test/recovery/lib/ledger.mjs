// The verdict: what every client has, against what the log has, against what the publishers were told.

const SHOWN = 12; // problems that a failure lists

/** The sequence in an offset, without the check behind it, for what surrounds a gap. Clients take offsets as they are. */
const seq = (offset) => (typeof offset === "string" ? parseInt(offset.slice(offset.indexOf("-") + 1, -4), 36) : NaN);

/**
 * Problems, as lines; none is the wanted result. `log` has each room's events, as [{ offset, n }], from the one on that
 * every subscriber has been there for.
 */
export function judge({ log, subscribers = [], publishers = [] }) {
  return [...publishers.flatMap((p) => judgePublisher(p, log)), ...subscribers.flatMap((s) => judgeSubscriber(s, log))];
}

/** Throws with the end of the server's log and the problems, these last: of a long output one sees the end. */
export function settle(problems, server) {
  if (problems.length === 0) return;
  const more = problems.length > SHOWN ? `\n... and ${problems.length - SHOWN} more` : "";
  throw new Error(`--- the server's log ---\n${server.logTail}\n--- ${problems.length} problems ---\n${problems.slice(0, SHOWN).join("\n")}${more}`);
}

function judgePublisher(publisher, log) {
  const problems = [];
  const rooms = new Set([...publisher.acked.keys(), ...publisher.open.keys(), ...publisher.refused.keys()]);
  for (const room of rooms) {
    const of = (book) => book.get(room) ?? new Set();
    const kept = new Map();
    let last = -1;
    for (const { n, offset } of log.get(room) ?? []) {
      if (kept.has(n)) problems.push(`log of ${room}: ${n} is in it twice, at ${kept.get(n)} and ${offset}`);
      else if (n < last) problems.push(`log of ${room}: ${n} at ${offset} follows ${last}`);
      if (of(publisher.refused).has(n)) problems.push(`log of ${room}: ${n} at ${offset} was answered with an error`);
      else if (!of(publisher.acked).has(n) && !of(publisher.open).has(n)) problems.push(`log of ${room}: ${n} at ${offset} was never published`);
      kept.set(n, offset);
      last = n;
    }
    for (const n of of(publisher.acked)) {
      if (!kept.has(n)) problems.push(`log of ${room}: ${n} was acknowledged and is missing; ${around(log.get(room), n)}`);
    }
  }
  return problems;
}

function around(events = [], n) {
  const before = events.filter((e) => e.n < n).at(-1);
  const after = events.find((e) => e.n > n);
  const show = (e) => (e ? `${e.n} at ${e.offset}` : "nothing");
  return `before it ${show(before)}, after it ${show(after)}`;
}

function judgeSubscriber(subscriber, log) {
  const problems = [];
  const who = `${subscriber.name} (${subscriber.via})`;
  for (const { at, recovered } of subscriber.connects.slice(1)) {
    if (!recovered) problems.push(`${who}: not recovered at ${at}`);
  }
  let last;
  for (const event of subscriber.received) {
    if (last && !(seq(event.offset) > seq(last.offset))) {
      problems.push(`${who}: ${event.room} ${event.n} at ${event.offset} came after ${last.room} ${last.n} at ${last.offset}`);
    }
    last = event;
  }
  for (const room of subscriber.rooms) {
    const got = subscriber.received.filter((event) => event.room === room);
    const times = new Map();
    for (const { offset } of got) times.set(offset, (times.get(offset) ?? 0) + 1);
    const events = log.get(room) ?? [];
    const known = new Set(events.map(({ offset }) => offset));
    const from = got.length ? seq(got[0].offset) : 0;
    events.forEach(({ n, offset }, i) => {
      const near = `between ${events[i - 1]?.offset ?? "the beginning"} and ${events[i + 1]?.offset ?? "the end"}`;
      const count = times.get(offset) ?? 0;
      if (count === 0) problems.push(`${who}: ${room} ${n} at ${offset} is missing, ${near}${i === 0 ? `; first has ${from}` : ""}`);
      if (count > 1) problems.push(`${who}: ${room} ${n} at ${offset} came ${count} times, ${near}`);
    });
    for (const { n, offset } of got) {
      if (!known.has(offset)) problems.push(`${who}: ${room} ${n} at ${offset} is not in the log`);
    }
  }
  return problems;
}
