// Offsets taken apart and forged: <epoch>-<seq><check>, in base 36, the check of four digits. Clients take them as they are.

const CHECK = 4;
const MASK = (1n << 64n) - 1n;

const number = (text) => [...text].reduce((n, digit) => n * 36n + BigInt(parseInt(digit, 36)), 0n);

/** { epoch, seq }, as BigInt. */
export function takenApart(offset) {
  const [epoch, rest] = offset.split("-");
  return { epoch: number(epoch), seq: number(rest.slice(0, -CHECK)) };
}

/** An offset whose check is right. */
export function forged({ epoch, seq }) {
  const mixed = (a, b) => [(a * b) >> 64n, (a * b) & MASK];
  let [high, low] = mixed(epoch ^ 0xb7c15d3a06e92f4dn, seq ^ 0x5d1f0a9b7e46d3a9n);
  [high, low] = mixed(high ^ seq ^ 0xd6e8a1f3274b95edn, low ^ epoch ^ 0x71b4e92d5ca83f17n);
  const check = ((high ^ low) % 36n ** BigInt(CHECK)).toString(36).padStart(CHECK, "0");
  return `${epoch.toString(36)}-${seq.toString(36)}${check}`;
}
