import fc from "fast-check";
import { expect, test } from "vitest";
import { LogFile } from "../../src/sources/log-file.ts";
import type { LogPosition } from "../../src/sources/log-identity.ts";
import { LogLines } from "./log-lines.ts";
import { RotatingLog } from "./rotating-log.ts";

/*
 * An interpreter of what can happen to a log, run on a real directory and compared with what was
 * written. The actions are those after which everything is still somewhere to be read, so the answer
 * is exact; what destroys bytes is in log-file.test.ts, case by case.
 */
type Action =
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

const just = <Name extends string>(name: Name) => fc.constant({ do: name });
const action: fc.Arbitrary<Action> = fc.oneof(
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

test("whatever rotation and crashes do, every line written is delivered once and in order", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(action, { maxLength: 40 }),
      fc.constantFrom(7, 64, 1024, 65536),
      async (actions, maxChunkBytes) => {
        const log = new RotatingLog();
        const reader = new Reader(log.path, maxChunkBytes);
        // Where the first reader begins is known only once it has looked.
        await reader.poll();
        reader.save();
        try {
          for (const action of actions) {
            if (action.do === "poll") await reader.poll();
            else if (action.do === "save") reader.save();
            else if (action.do === "crash") reader.crash();
            else perform(log, action);
          }
          // What stands unterminated in the last file is a line once another file has bytes.
          log.reopen();
          log.writeLines(1);
          await reader.poll();
          expect(reader.lines.lines).toEqual(log.lines());
          expect(reader.lines.losses).toEqual([]);
        } finally {
          reader.stop();
          log.remove();
        }
      },
    ),
    { numRuns: Number(process.env.LOG_MODEL_RUNS ?? 150) },
  );
}, 120_000);
