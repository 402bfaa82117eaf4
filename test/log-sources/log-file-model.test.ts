import fc from "fast-check";
import { expect, test } from "vitest";
import { LogFile } from "../../src/log-sources/log-file.ts";
import type { LogPosition } from "../../src/log-sources/log-identity.ts";
import { LogLines } from "./log-lines.ts";
import { RotatingLog } from "./rotating-log.ts";

/*
 * An interpreter of what can happen to a log, run on a real directory and compared with what was
 * written. After a `Keeping` action everything is still somewhere to be read, so the answer is exact.
 * A `Destroying` one takes bytes away that a reader may or may not have seen: how many depends on when
 * it looked last, and whether it was running. What must hold then is a bound.
 */
type Keeping =
  | { do: "write"; lines: number }
  | { do: "write half a line" }
  | { do: "rename and create" }
  | { do: "rename and create, writer stays" }
  | { do: "rename, file comes late" }
  | { do: "writer reopens" }
  | { do: "copy and truncate" }
  | { do: "compress"; count: number }
  | { do: "poll" }
  | { do: "save" }
  | { do: "crash" };
type Destroying =
  | { do: "truncate" }
  | { do: "delete"; name: string }
  | { do: "replace the directory" };
type Action = Keeping | Destroying;

const just = <Name extends string>(name: Name) => fc.constant({ do: name });
const keeping: fc.Arbitrary<Keeping> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("write" as const),
      lines: fc.integer({ min: 1, max: 40 }),
    }),
  },
  just("write half a line" as const),
  just("rename and create" as const),
  just("rename and create, writer stays" as const),
  just("rename, file comes late" as const),
  { weight: 2, arbitrary: just("writer reopens" as const) },
  { weight: 2, arbitrary: just("copy and truncate" as const) },
  fc.record({ do: fc.constant("compress" as const), count: fc.integer({ min: 1, max: 3 }) }),
  { weight: 5, arbitrary: just("poll" as const) },
  { weight: 2, arbitrary: just("save" as const) },
  { weight: 1, arbitrary: just("crash" as const) },
);

const destroying: fc.Arbitrary<Destroying> = fc.oneof(
  just("truncate" as const),
  just("replace the directory" as const),
  fc.record({
    do: fc.constant("delete" as const),
    name: fc.constantFrom("kern.log", "kern.log.1", "kern.log.2", "kern.log.1.gz", "kern.log.2.gz"),
  }),
);

function perform(log: RotatingLog, action: Action): void {
  switch (action.do) {
    case "write":
      log.writeLines(action.lines);
      break;
    case "write half a line":
      log.writeHalfALine();
      break;
    case "rename and create":
      if (log.rename()) {
        log.create();
        log.reopen();
      }
      break;
    case "rename and create, writer stays":
      if (log.rename()) log.create();
      break;
    case "rename, file comes late":
      log.rename();
      break;
    case "writer reopens":
      log.reopen();
      break;
    case "copy and truncate":
      log.copyTruncate();
      break;
    case "compress":
      log.compress(`kern.log.${action.count}`);
      break;
    case "truncate":
      log.truncate();
      break;
    case "delete":
      log.delete(action.name);
      break;
    case "replace the directory":
      log.replaceDirectory();
      break;
  }
}

class Reader {
  lines = new LogLines();
  #file: LogFile;
  #saved: { lines: string[]; position: LogPosition | undefined } = {
    lines: [],
    position: undefined,
  };
  readonly #path: string;
  readonly #maxChunkBytes: number;

  constructor(path: string, maxChunkBytes: number) {
    this.#path = path;
    this.#maxChunkBytes = maxChunkBytes;
    this.#file = this.#open("start");
  }

  /** Position and lines are saved together, as the exporter saves position and counts. */
  save(): void {
    const position = this.lines.position ?? this.#file.position();
    this.#saved = { lines: [...this.lines.lines], position };
  }

  crash(): void {
    this.#file.stop();
    this.lines = new LogLines();
    this.lines.lines = [...this.#saved.lines];
    this.lines.position = this.#saved.position;
    this.#file = this.#open(this.#saved.position ?? "start");
  }

  async poll(): Promise<void> {
    await this.#file.poll();
  }

  stop(): void {
    this.#file.stop();
  }

  #open(from: LogPosition | "start"): LogFile {
    const file = new LogFile({
      path: this.#path,
      from,
      listener: this.lines,
      watch: false,
      now: () => 0,
      maxChunkBytes: this.#maxChunkBytes,
    });
    file.start();
    return file;
  }
}

/** Runs the actions, then lets the log have one more line and the reader look. */
async function run(actions: Action[], maxChunkBytes: number) {
  const log = new RotatingLog();
  const reader = new Reader(log.path, maxChunkBytes);
  // Where the first reader begins is known only once it has looked.
  await reader.poll();
  reader.save();
  let linesDestroyed = 0;
  try {
    for (const action of actions) {
      if (action.do === "poll") await reader.poll();
      else if (action.do === "save") reader.save();
      else if (action.do === "crash") reader.crash();
      else perform(log, action);
      const destroys = /^(?:truncate|delete|replace)/.test(action.do);
      if (destroys || log.isWriterOnDeletedFile) linesDestroyed = log.lines().length;
    }
    // An unterminated end of the last file is a line once another file has bytes.
    log.reopen();
    log.writeLines(1);
    await reader.poll();
    const { lines, losses } = reader.lines;
    return { written: log.lines(), linesDestroyed, delivered: lines, losses };
  } finally {
    reader.stop();
    log.remove();
  }
}

const chunkBytes = fc.constantFrom(7, 64, 1024, 65536);
const numRuns = Number(process.env.LOG_MODEL_RUNS ?? 150);

test("whatever rotation and crashes do, every line written is delivered once and in order", async () => {
  const actions = fc.array(keeping, { maxLength: 40 });
  const property = fc.asyncProperty(actions, chunkBytes, async (actions, maxChunkBytes) => {
    const { written, delivered, losses } = await run(actions, maxChunkBytes);
    expect(delivered).toEqual(written);
    expect(losses).toEqual([]);
  });
  await fc.assert(property, { numRuns });
}, 120_000);

test("whatever is destroyed, no line is delivered twice or out of order, and none written since is missed", async () => {
  const some = fc.oneof(
    { weight: 6, arbitrary: keeping },
    { weight: 1, arbitrary: destroying },
  ) as fc.Arbitrary<Action>;
  const actions = fc.array(some, { maxLength: 40 });
  const property = fc.asyncProperty(actions, chunkBytes, async (actions, maxChunkBytes) => {
    const { written, linesDestroyed, delivered } = await run(actions, maxChunkBytes);
    const numbers = delivered.map((line) => Number(line.slice(0, 7))).filter((n) => n > 0);
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
    // A line half written when the rest was destroyed is neither here nor there.
    for (const line of written.slice(linesDestroyed + 1)) expect(delivered).toContain(line);
  });
  await fc.assert(property, { numRuns });
}, 120_000);
