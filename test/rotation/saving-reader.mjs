// Reads numbered lines through LogFile and saves, after every chunk and in one file, where it stands
// and what it has counted - so it may be killed at any instruction.
// usage: saving-reader.mjs COMPILED_SOURCE LOG STATE [once]     once: ends when it has caught up
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

const [source, path, statePath, once] = process.argv.slice(2);
const { LogFile } = await import(`${source}/log-sources/log-file.mjs`);

const state = existsSync(statePath)
  ? JSON.parse(readFileSync(statePath, "utf8"))
  : { position: "start", next: 0, lost: 0, again: 0 };
let partial = "";

function count(line) {
  const number = Number(/\[(\d{9})\] Killed process \1 /.exec(line)?.[1]);
  if (number >= state.next) {
    state.lost += number - state.next;
    state.next = number + 1;
  } else {
    state.again++;
  }
}

function save() {
  writeFileSync(`${statePath}.new`, JSON.stringify(state));
  renameSync(`${statePath}.new`, statePath);
}

new LogFile({
  path,
  from: state.position,
  now: () => performance.now(),
  listener: {
    bytes(chunk, at) {
      const lines = (partial + chunk.toString("latin1")).split("\n");
      partial = lines.pop();
      for (const line of lines) count(line);
      const end = chunk.lastIndexOf(0x0a) + 1;
      if (end > 0) state.position = { ...at, offset: at.offset + end };
      save();
    },
    endOfFile() {
      if (partial !== "") count(partial);
      partial = "";
    },
    caughtUp() {
      if (once !== undefined) process.exit(0);
    },
    stateChanged() {},
    rotated() {},
    lost(reason) {
      process.stderr.write(`${reason}\n`);
      state.lost++;
    },
  },
}).start();
