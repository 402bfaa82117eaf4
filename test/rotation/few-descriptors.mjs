// Reads a log that was rotated twice since its position was saved, with only so many descriptors free.
// usage: few-descriptors.mjs COMPILED_SOURCE DIRECTORY FREE     prints the lines that it has read as JSON
import { appendFileSync, closeSync, openSync, renameSync, writeFileSync } from "node:fs";

const [source, directory, free] = process.argv.slice(2);
const { LogFile } = await import(`${source}/log-sources/log-file.mjs`);
const path = `${directory}/kern.log`;

function reader(from) {
  const seen = { text: "", losses: [], states: [] };
  const log = new LogFile({
    path,
    from,
    watch: false,
    now: () => performance.now(),
    listener: {
      bytes: (chunk) => {
        seen.text += chunk.toString();
      },
      endOfFile() {},
      caughtUp() {},
      rotated() {},
      stateChanged: (state) => seen.states.push(state),
      lost: (reason) => seen.losses.push(reason),
    },
  });
  log.start();
  return { log, seen };
}

writeFileSync(path, "first\n");
const before = reader("start");
await before.log.poll();
const position = before.log.position();
before.log.stop();
appendFileSync(path, "second\n");
renameSync(path, `${path}.2`);
writeFileSync(`${path}.1`, "third\n");
writeFileSync(path, "fourth\n");

const taken = [];
try {
  for (;;) taken.push(openSync("/dev/null"));
} catch {
  for (const descriptor of taken.splice(0, Number(free))) closeSync(descriptor);
}
const { log, seen } = reader(position);
await log.poll();
const atFirst = structuredClone(seen);
for (const descriptor of taken) closeSync(descriptor);
await log.poll();
process.stdout.write(JSON.stringify({ atFirst, inTheEnd: seen, before: before.seen.text }));
