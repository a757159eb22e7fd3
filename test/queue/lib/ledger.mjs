// The verdict: what the workers of each group did, against what the publishers were told.

/** Problems, as lines; none is the wanted result. */
export function judge({ queue, publishers, workers }) {
  const problems = [];
  const acked = new Map(publishers.flatMap((p) => [...(p.acked.get(queue) ?? [])]));
  const seqs = new Map(acked); // of each id
  const groups = new Map();
  for (const worker of workers.filter((w) => w.queue === queue)) {
    if (!groups.has(worker.group)) groups.set(worker.group, new Set());
    const handled = groups.get(worker.group);
    for (const { id, seq, done, late, right } of worker.deliveries) {
      if (!right) problems.push(`${id} came with another's body to ${worker.name}`);
      if (late) problems.push(`${id} came to ${worker.name} after its done was durable`);
      if (!seqs.has(id)) problems.push(`${id} came to ${worker.name} and was never published to ${queue}`);
      else if (seqs.get(id) !== seq) problems.push(`${id} is stored as ${seqs.get(id)} and as ${seq}`);
      if (done) handled.add(id);
    }
  }
  const bySeq = new Map();
  for (const [id, seq] of acked) {
    if (bySeq.has(seq)) problems.push(`${id} and ${bySeq.get(seq)} are both ${seq}`);
    bySeq.set(seq, id);
  }
  for (const [group, handled] of groups) {
    for (const id of acked.keys()) if (!handled.has(id)) problems.push(`${id} was acknowledged and not handled by ${group}`);
  }
  return problems;
}

/** Where the messages of a consumer that takes one at a time went backwards within one of its lives. */
export function judgeOrder(worker) {
  const problems = [];
  let last = { life: -1 };
  for (const delivery of worker.deliveries) {
    if (delivery.life === last.life && delivery.seq < last.seq) {
      problems.push(`${worker.name} got ${delivery.seq} after ${last.seq}`);
    }
    last = delivery;
  }
  return problems;
}

const SHOWN = 12;

/** Throws with the problems and the end of the server's log. */
export function settle(problems, server) {
  if (problems.length === 0) return;
  const more = problems.length > SHOWN ? `\n... and ${problems.length - SHOWN} more` : "";
  throw new Error(`${problems.slice(0, SHOWN).join("\n")}${more}\n--- the server:\n${server.logTail}`);
}
