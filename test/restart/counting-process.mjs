// Counts the kills of a log that is a function of the line number, in batches, and says after each
// batch what it shows - so it may be killed at any instruction.
// usage: counting-process.mjs COMPILED_SOURCE STATE_DIRECTORY LINES SEED
import { writeSync } from "node:fs";
import { linesBetween } from "./numbered-kills.mjs";

const [source, path, lines, seed] = process.argv.slice(2);
const { KillLedger } = await import(`${source}/kills/kill-ledger.mjs`);
const { StateDirectory } = await import(`${source}/sources/state-directory.mjs`);

const say = (message) => process.stderr.write(`${message}\n`);
const state = StateDirectory.open(path, { nowMs: Date.now, warn: say, info: say, procfs: "/proc" });
const ledger = new KillLedger({
  store: state?.directory,
  saved: state?.saved,
  nowMs: Date.now(),
});
ledger.showCounts();

/** A linear congruence is random enough for the sizes of batches. */
let latest = Number(seed);
function random() {
  latest = (Math.imul(latest, 1_103_515_245) + 12_345) & 0x7fffffff;
  return (latest >>> 8) / 2 ** 23;
}

function shown() {
  let sum = 0;
  for (const kills of ledger.counts(Date.now()).kills.values()) sum += kills;
  return sum;
}

for (let at = ledger.position("log") ?? 0; at < Number(lines); ) {
  const next = Math.min(Number(lines), at + 1 + Math.floor(random() * 20));
  ledger.record({
    atMs: Date.now(),
    entries: linesBetween(at, next),
    positions: { log: next },
  });
  at = next;
  // Now and then, as a journal of 16 MiB would be.
  if (random() < 0.03) state?.directory.compact(() => ledger.snapshot());
  state?.directory.flush();
  writeSync(1, `${shown()}\n`);
}
