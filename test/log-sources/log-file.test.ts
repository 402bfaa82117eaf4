import { ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { LogFile, type LogFileOptions } from "../../src/log-sources/log-file.ts";
import type { LogPosition } from "../../src/log-sources/log-identity.ts";
import { StandInProgram } from "../setup/stand-in-program.ts";
import { waitUntil } from "../setup/wait-until.ts";
import { LogLines } from "./log-lines.ts";

vi.mock("node:child_process", { spy: true });

let directory: string;
let path: string;
/** Goes on from test to test: a file is known again by its inode and times, and inodes are reused. */
let seconds = 1_800_000_000;
let running: LogFile[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "log-file-"));
  path = join(directory, "kern.log");
  running = [];
});

afterEach(() => {
  for (const log of running) log.stop();
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true, force: true });
});

/** Every write is a second later than the one before. */
function write(text: string, to = path): void {
  appendFileSync(to, text);
  age(to);
}

function age(file: string): void {
  seconds++;
  utimesSync(file, seconds, seconds);
}

function copyTruncate(copy = `${path}.1`): void {
  copyFileSync(path, copy);
  age(copy);
  truncateSync(path);
}

function gzip(file: string): void {
  const { mtime } = statSync(file);
  writeFileSync(`${file}.gz`, gzipSync(readFileSync(file)));
  utimesSync(`${file}.gz`, mtime, mtime);
  unlinkSync(file);
}

function open(from: LogFileOptions["from"], options: Partial<LogFileOptions> = {}) {
  const reader = new LogLines();
  const log = new LogFile({
    path,
    from,
    listener: reader,
    watch: false,
    now: () => 0,
    ...options,
  });
  running.push(log);
  log.start();
  return { log, reader, poll: () => log.poll() };
}

/** The lines that come after those of a reader that was stopped here. */
async function linesAfterRestart(earlier: ReturnType<typeof open>) {
  earlier.log.stop();
  const next = open(earlier.reader.position ?? "start");
  await next.poll();
  return next.reader;
}

test("from the start, all that is in the file comes before caughtUp, all that is added after it", async () => {
  write("one\ntwo\n");
  const { reader, poll } = open("start");
  await poll();
  expect(reader.linesCaughtUp).toBe(2);
  write("three\n");
  await poll();
  expect(reader.lines).toEqual(["one", "two", "three"]);
});

test("bytes written while catching up are live, to the byte", async () => {
  write("one\n".repeat(2_000_000));
  const { reader, poll } = open("start");
  write("two\n");
  await poll();
  expect(reader.linesCaughtUp).toBe(2_000_000);
  expect(reader.lines.at(-1)).toBe("two");
});

test("from the start, a file that appears later is read whole", async () => {
  const { reader, poll } = open("start");
  await poll();
  expect(reader.events).toEqual([`down: ${path} does not exist; waiting for it`, "caught up"]);
  write("one\n");
  await poll();
  expect(reader.lines).toEqual(["one"]);
  expect(reader.events.at(-1)).toBe("up");
});

test("from the start, older rotated files are not read", async () => {
  write("old\n", `${path}.1`);
  write("now\n");
  const { reader, poll } = open("start");
  await poll();
  copyTruncate();
  write("new\n");
  await poll();
  expect(reader.lines).toEqual(["now", "new"]);
});

test("a file that is created and rotated between two checks is read under its new name", async () => {
  write("");
  const { reader, poll } = open("start");
  await poll();
  write("one\n");
  copyTruncate();
  write("two\n");
  await poll();
  expect(reader.lines).toEqual(["one", "two"]);
});

test("truncated and grown beyond the position, within one poll: nothing lost, nothing misread", async () => {
  write("one\n");
  const { reader, poll } = open("start");
  await poll();
  write("two\n");
  copyTruncate();
  write("three, and longer than all that stood there before\n");
  await poll();
  expect(reader.lines).toEqual([
    "one",
    "two",
    "three, and longer than all that stood there before",
  ]);
  expect(reader.events).toEqual(["up", "caught up", "truncate"]);
  expect(reader.losses).toEqual([]);
});

test("truncated without a copy: new content is read from its beginning", async () => {
  write("one\n");
  const { reader, poll } = open("start");
  await poll();
  truncateSync(path);
  await poll();
  write("two\n");
  await poll();
  expect(reader.lines).toEqual(["one", "two"]);
  expect(reader.events).toEqual(["up", "caught up", "truncate"]);
});

test("only the end truncated: additions are read, the rest is not read again", async () => {
  write("one\ntwo\nthree\n");
  const { reader, poll } = open("start");
  await poll();
  truncateSync(path, 8);
  await poll();
  write("four\n");
  await poll();
  expect(reader.lines).toEqual(["one", "two", "three", "four"]);
});

test("a line that was unterminated when its file was rotated away is a line", async () => {
  write("one\ntw");
  const { reader, poll } = open("start");
  await poll();
  renameSync(path, `${path}.1`);
  write("three\n");
  await poll();
  expect(reader.lines).toEqual(["one", "tw", "three"]);
  expect(reader.events.at(-1)).toBe("rename");
});

test("a writer that stays on the renamed file is followed there until the new file has lines", async () => {
  write("one\n");
  const { reader, poll } = open("start");
  await poll();
  renameSync(path, `${path}.1`);
  write("");
  write("two\n", `${path}.1`);
  await poll();
  expect(reader.lines).toEqual(["one", "two"]);
  write("three\n", `${path}.1`);
  write("four\n");
  await poll();
  expect(reader.lines).toEqual(["one", "two", "three", "four"]);
  expect(reader.events).toEqual(["up", "caught up", "rename"]);
});

test("late lines in the old file are delivered between two lines of the new one", async () => {
  write("one\n");
  const { reader, poll } = open("start");
  await poll();
  renameSync(path, `${path}.1`);
  write("two\nth");
  await poll();
  write("late\n", `${path}.1`);
  await poll();
  expect(reader.lines).toEqual(["one", "two"]);
  write("ree\n");
  await poll();
  expect(reader.lines).toEqual(["one", "two", "three", "late"]);
  write("four\n");
  await poll();
  expect(reader.lines.at(-1)).toBe("four");
});

test("a restart between late lines repeats and skips nothing in either file", async () => {
  write("one\n");
  const first = open("start");
  await first.poll();
  renameSync(path, `${path}.1`);
  write("two\n");
  await first.poll();
  write("late\n", `${path}.1`);
  await first.poll();
  expect(first.reader.lines).toEqual(["one", "two", "late"]);
  write("later\n", `${path}.1`);
  write("three\n");
  expect((await linesAfterRestart(first)).lines).toEqual(["later", "three"]);
});

test("a file left behind is let go when its writer has been silent for half a minute", async () => {
  let now = 0;
  write("one\n");
  const { poll } = open("start", { now: () => now });
  await poll();
  renameSync(path, `${path}.1`);
  write("two\n");
  await poll();
  const before = openDescriptors();
  now = 30_001;
  await poll();
  expect(openDescriptors()).toBe(before - 1);
});

test("a log deleted while its writer has it open is read until a new one has lines", async () => {
  write("one\n");
  const { reader, poll } = open("start");
  await poll();
  write("two\n");
  renameSync(path, join(directory, "elsewhere"));
  unlinkSync(join(directory, "elsewhere"));
  await poll();
  write("three\n");
  await poll();
  expect(reader.lines).toEqual(["one", "two", "three"]);
  expect(reader.losses).toEqual([]);
});

test("a file that stays away is reported after ten seconds, and its return", async () => {
  let now = 0;
  write("one\n");
  const { reader, poll } = open("start", { now: () => now });
  await poll();
  unlinkSync(path);
  await poll();
  now = 9_999;
  await poll();
  expect(reader.events).toEqual(["up", "caught up"]);
  now = 10_000;
  await poll();
  expect(reader.events.at(-1)).toBe(`down: ${path} is gone; still reading the file that was there`);
  write("two\n");
  await poll();
  expect(reader.events.slice(3)).toEqual(["up", "rename"]);
});

test("the whole directory replaced: the new file in it is followed", async () => {
  path = join(directory, "log", "kern.log");
  mkdirSync(dirname(path));
  write("one\n");
  const { reader, poll } = open("start");
  await poll();
  write("two\n");
  rmSync(dirname(path), { recursive: true });
  await poll();
  mkdirSync(dirname(path));
  write("three\n");
  await poll();
  expect(reader.lines).toEqual(["one", "two", "three"]);
});

test("an unreadable file says what to do and is read from its saved position once permitted", async () => {
  write("one\n");
  const first = open("start");
  await first.poll();
  first.log.stop();
  write("two\n");
  chmodSync(directory, 0o755);
  chmodSync(path, 0o600);
  const asNobody = process.getuid?.() === 0;
  if (asNobody) process.seteuid?.(65534);
  else chmodSync(path, 0);
  try {
    const { reader, poll } = open(first.reader.position ?? "start");
    await poll();
    expect(reader.events).toEqual([
      `down: cannot read ${path}: permission denied, add this user to the group that owns it, often adm`,
    ]);
    if (asNobody) process.seteuid?.(0);
    chmodSync(path, 0o644);
    if (asNobody) process.seteuid?.(65534);
    await poll();
    expect(reader.lines).toEqual(["two"]);
    expect(reader.events.slice(1)).toEqual(["up", "caught up"]);
  } finally {
    if (asNobody) process.seteuid?.(0);
  }
});

test("a FIFO or a directory at the path is refused without waiting for it", async () => {
  execFileSync("mkfifo", [path]);
  const { reader, poll } = open("start");
  await poll();
  expect(reader.events).toEqual([`down: cannot read ${path}: not a regular file`]);
  unlinkSync(path);
  mkdirSync(path);
  await poll();
  expect(reader.events).toHaveLength(1);
});

test("a file that can be opened but not read is reported once and leaves nothing open", async () => {
  // Its first page is never there to be read: EIO.
  symlinkSync("/proc/self/mem", path);
  const { reader, poll } = open("start");
  await poll();
  const before = openDescriptors();
  await poll();
  await poll();
  expect(reader.events).toEqual([expect.stringMatching(/^down: cannot read .*kern\.log: EIO/)]);
  expect(openDescriptors()).toBe(before);
});

test("a symbolic link that leads to itself is reported until it leads to a file", async () => {
  symlinkSync(path, path);
  const { reader, poll } = open("start");
  await poll();
  expect(reader.events).toEqual([expect.stringMatching(/^down: cannot read .*: ELOOP/)]);
  unlinkSync(path);
  write("one\n");
  await poll();
  expect(reader.lines).toEqual(["one"]);
});

test("a symbolic link that is turned to another file is followed there", async () => {
  const [older, newer] = [
    join(directory, "kern-20261120.log"),
    join(directory, "kern-20261121.log"),
  ];
  write("one\n", older);
  symlinkSync(older, path);
  const { reader, poll } = open("start");
  await poll();
  write("two\n", older);
  write("three\n", newer);
  unlinkSync(path);
  symlinkSync(newer, path);
  await poll();
  expect(reader.lines).toEqual(["one", "two", "three"]);
});

test("NULs that a crash left in the file are passed on, and the place after them is found again", async () => {
  write("one\n");
  write("\0".repeat(5000));
  write("two\n");
  const first = open("start");
  await first.poll();
  write("three\n");
  const after = await linesAfterRestart(first);
  expect(first.reader.lines).toEqual(["one", `${"\0".repeat(5000)}two`]);
  expect(after.lines).toEqual(["three"]);
});

test("a line without end is handed on in bounded chunks", async () => {
  write("");
  truncateSync(path, 64 * 1024 * 1024);
  let largest = 0;
  let total = 0;
  const reader = new LogLines();
  reader.bytes = (chunk) => {
    largest = Math.max(largest, chunk.length);
    total += chunk.length;
  };
  const { poll } = open("start", { listener: reader, maxChunkBytes: 100_000 });
  await poll();
  expect([largest, total]).toEqual([100_000, 64 * 1024 * 1024]);
});

test.each([
  ["logrotate's numbers", ["kern.log.3", "kern.log.2", "kern.log.1"]],
  ["ten and more of them", ["kern.log.11", "kern.log.10", "kern.log.9"]],
  ["logrotate's dateext", ["kern.log-20261119", "kern.log-20261120", "kern.log-20261121"]],
  ["dateext with seconds", ["kern.log-20261119-1", "kern.log-20261119-2", "kern.log-20261120-1"]],
  ["logrotate's extension", ["kern-20261119.log", "kern-20261120.log", "kern-20261121.log"]],
  ["names of both kinds", ["kern.log.1", "kern.log-20261120", "kern.log-20261121"]],
])("after downtime the rest is read from old to new: %s", async (_kind, names) => {
  write("0 begins\n");
  const first = open("start");
  await first.poll();
  write("0 ends\n");
  renameSync(path, join(directory, names[0] ?? ""));
  for (const name of names.slice(1)) write(`${name}\n`, join(directory, name));
  write("now\n");
  const after = await linesAfterRestart(first);
  expect(after.lines).toEqual(["0 ends", ...names.slice(1), "now"]);
  expect(after.linesCaughtUp).toBe(4);
  expect(after.losses).toEqual([]);
});

test("after downtime compressed files are read too, the saved one from its position", async () => {
  write("0 begins\n");
  const first = open("start");
  await first.poll();
  write("0 ends\n");
  renameSync(path, `${path}.2`);
  gzip(`${path}.2`);
  write("1\n", `${path}.1`);
  gzip(`${path}.1`);
  write("now\n");
  expect((await linesAfterRestart(first)).lines).toEqual(["0 ends", "1", "now"]);
});

test("while gzip is running, the file and its compressed copy count as one", async () => {
  write("0\n");
  const first = open("start");
  await first.poll();
  write("1\n", `${path}.1`);
  const whole = gzipSync(readFileSync(`${path}.1`));
  writeFileSync(`${path}.1.gz`, whole.subarray(0, 15));
  expect((await linesAfterRestart(first)).lines).toEqual([]);
  renameSync(path, `${path}.2`);
  write("now\n");
  expect((await linesAfterRestart(first)).lines).toEqual(["1", "now"]);
});

test("between the two steps of copytruncate, the copy is not read as another file", async () => {
  write("0\n");
  const first = open("start");
  await first.poll();
  renameSync(path, `${path}.2`);
  write("1\n");
  copyFileSync(path, `${path}.1`);
  age(`${path}.1`);
  expect((await linesAfterRestart(first)).lines).toEqual(["1"]);
});

test("a copy made before the last lines were read repeats nothing", async () => {
  write("one\n");
  const first = open("start");
  await first.poll();
  copyFileSync(path, `${path}.1`);
  write("two\n");
  await first.poll();
  truncateSync(path);
  write("three\n");
  await first.poll();
  expect(first.reader.lines).toEqual(["one", "two", "three"]);
});

test("a log moved aside by hand is recognised", async () => {
  write("one\n");
  const first = open("start");
  await first.poll();
  write("two\n");
  renameSync(path, `${path}.old`);
  write("three\n");
  expect((await linesAfterRestart(first)).lines).toEqual(["two", "three"]);
});

test("files that only look like the log's are never read as such", async () => {
  write("one\n");
  const first = open("start");
  await first.poll();
  for (const name of [
    "kern.log.swp",
    "kern.logs.1",
    "kernel.log.1",
    "kern.log.offset",
    "1.kern.log",
  ]) {
    write("not the log\n", join(directory, name));
  }
  write("two\n");
  expect((await linesAfterRestart(first)).lines).toEqual(["two"]);
});

test("the saved file rotated away and deleted: newer files are read and the loss is reported once", async () => {
  write("older\n", `${path}.3`);
  write("one\n");
  const first = open("start");
  await first.poll();
  unlinkSync(path);
  write("two\n", `${path}.1`);
  write("three\n");
  first.log.stop();
  const { reader, poll } = open(first.reader.position ?? "start");
  await poll();
  await poll();
  expect(reader.lines).toEqual(["two", "three"]);
  expect(reader.losses).toEqual([
    `the file read last is no longer next to ${path}: lines added to it are missing`,
  ]);
});

test("a rotated file in a compression that cannot be read is a loss, not a silence", async () => {
  write("one\n");
  const first = open("start");
  await first.poll();
  renameSync(path, `${path}.2`);
  write("cannot be read", `${path}.1.Z`);
  write("three\n");
  const after = await linesAfterRestart(first);
  expect(after.lines).toEqual(["three"]);
  expect(after.losses).toEqual([
    `${path}.1.Z is compressed in a way (.Z) that cannot be read; let logrotate use gzip`,
  ]);
});

/** Compresses as logrotate does: the file's time is kept. */
function pack(program: string, suffix: string, file: string): void {
  const { mtime } = statSync(file);
  const { stdout } = spawnSync(program, ["-c"], { input: readFileSync(file) });
  writeFileSync(`${file}${suffix}`, stdout);
  utimesSync(`${file}${suffix}`, mtime, mtime);
  unlinkSync(file);
}

describe.each([
  ["xz", ".xz"],
  ["zstd", ".zst"],
  ["bzip2", ".bz2"],
  ["lz4", ".lz4"],
])("rotated files compressed by %s", (program, suffix) => {
  const isInstalled = spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined;
  const long = Array.from({ length: 90_000 }, (_, i) => `${i} ${(i * 7919) % 104729}`);

  test.runIf(isInstalled)("are read after downtime, the saved one from its position", async () => {
    write(`${long.join("\n")}\n`);
    const first = open("start");
    await first.poll();
    write("0 ends\n");
    renameSync(path, `${path}.2`);
    pack(program, suffix, `${path}.2`);
    write("1\n", `${path}.1`);
    pack(program, suffix, `${path}.1`);
    write("now\n");
    const after = await linesAfterRestart(first);
    expect(after.lines).toEqual(["0 ends", "1", "now"]);
    expect(after.losses).toEqual([]);
  });

  test.runIf(isInstalled)("are a loss from where they are damaged", async () => {
    write("0\n");
    const first = open("start");
    await first.poll();
    renameSync(path, `${path}.2`);
    write(`${long.join("\n")}\n`, `${path}.1`);
    pack(program, suffix, `${path}.1`);
    truncateSync(`${path}.1${suffix}`, statSync(`${path}.1${suffix}`).size - 20);
    age(`${path}.1${suffix}`);
    write("now\n");
    const after = await linesAfterRestart(first);
    expect(after.lines.at(-1)).toBe("now");
    expect(after.losses).toEqual([
      expect.stringContaining(`the rest of ${path}.1${suffix}: ${program} failed: `),
    ]);
  });
});

test("without the program a compressed file is a loss that names it", async () => {
  write("one\n");
  const first = open("start");
  await first.poll();
  renameSync(path, `${path}.2`);
  write("packed", `${path}.1.lz4`);
  write("three\n");
  vi.stubEnv("PATH", directory);
  try {
    const after = await linesAfterRestart(first);
    expect(after.lines).toEqual(["three"]);
    expect(after.losses).toEqual([
      `${path}.1.lz4 is compressed with lz4, and that program is not installed; let logrotate use gzip`,
    ]);
  } finally {
    vi.unstubAllEnvs();
  }
});

/** After downtime: the first line of `kern.log.1.xz` has been read, the second has not, and `kern.log` has the line `now`. */
async function halfRead(...plan: ConstructorParameters<typeof StandInProgram>[2] & object) {
  write("line 1 of 2\n");
  const first = open("start");
  await first.poll();
  first.log.stop();
  write("line 2 of 2\n");
  renameSync(path, `${path}.1.xz`);
  write("now\n");
  const program = new StandInProgram("xz", directory, plan);
  vi.stubEnv("PATH", program.path);
  return { program, from: first.reader.position ?? ("start" as const) };
}

describe("decompression that is interrupted", () => {
  const all = ["line 1 of 3", "line 2 of 3", "line 3 of 3"];
  let nowMs: number;

  /** After downtime: `kern.log.1.xz` is unread, and `kern.log` has the line `now`. */
  async function restarted(...plan: ConstructorParameters<typeof StandInProgram>[2] & object) {
    nowMs = 0;
    write("0\n");
    const first = open("start");
    await first.poll();
    first.log.stop();
    renameSync(path, `${path}.2`);
    write(`${all.join("\n")}\n`, `${path}.1.xz`);
    write("now\n");
    // The first run is for the first bytes.
    const program = new StandInProgram("xz", directory, ["works", ...plan]);
    vi.stubEnv("PATH", program.path);
    return { program, ...open(first.reader.position ?? "start", { now: () => nowMs }) };
  }

  test("by a signal is no loss: it goes on after a second, then after two", async () => {
    const { program, reader, poll } = await restarted("is killed", "is killed");
    await poll();
    const reason = `cannot decompress for now: ${path}.1.xz: xz was ended by SIGKILL; trying again`;
    expect(reader.lines).toEqual(all.slice(0, 1));
    expect(reader.events).toEqual(["up", `down: ${reason}`]);
    nowMs = 999;
    await poll();
    expect(program.runs).toHaveLength(2);
    nowMs = 1000;
    await poll();
    nowMs = 2999;
    await poll();
    expect(program.runs).toHaveLength(3);
    nowMs = 3000;
    await poll();
    expect(reader.lines).toEqual([...all, "now"]);
    expect(reader.losses).toEqual([]);
    expect(reader.events).toEqual(["up", `down: ${reason}`, "up", "caught up"]);
  });

  test("is no second loss where the file read last is gone", async () => {
    write("0\n");
    const first = open("start");
    await first.poll();
    first.log.stop();
    unlinkSync(path);
    write(`${all.join("\n")}\n`, `${path}.1.xz`);
    write("now\n");
    vi.stubEnv("PATH", new StandInProgram("xz", directory).path);
    vi.mocked(spawn).mockImplementationOnce(() => {
      throw Object.assign(new Error("spawn xz EAGAIN"), { code: "EAGAIN", errno: -11 });
    });
    nowMs = 0;
    const { reader, poll } = open(first.reader.position ?? "start", { now: () => nowMs });
    await poll();
    expect(reader.lines).toEqual([]);
    nowMs = 1000;
    await poll();
    expect(reader.lines).toEqual([...all, "now"]);
    expect(reader.losses).toEqual([
      `the file read last is no longer next to ${path}: lines added to it are missing`,
    ]);
  });

  test("is followed by the rest after a restart", async () => {
    const second = await restarted("is killed");
    await second.poll();
    const third = await linesAfterRestart(second);
    expect([...second.reader.lines, ...third.lines]).toEqual([...all, "now"]);
    expect(third.losses).toEqual([]);
  });

  test("again and again for a minute is a loss, and newer lines are read", async () => {
    const { program, reader, poll } = await restarted(...Array(10).fill("is killed"));
    for (nowMs = 0; nowMs <= 63_000; nowMs += 1000) await poll();
    expect(program.runs).toHaveLength(8);
    expect(reader.lines).toEqual([all[0], "now"]);
    expect(reader.losses).toEqual([
      `cannot decompress the rest of ${path}.1.xz: xz was ended by SIGKILL`,
    ]);
    expect(reader.events.at(-2)).toBe("up");
  });

  test.each([
    ["EMFILE", "reported without streams"],
    ["EAGAIN", "reported without streams"],
    ["ENOMEM", "thrown"],
  ])("because the program cannot be started (%s, %s) is no loss", async (code, way) => {
    const error = Object.assign(new Error(`spawn xz ${code}`), { code, errno: -1 });
    vi.mocked(spawn).mockImplementationOnce(() => {
      if (way === "thrown") throw error;
      const child = new ChildProcess();
      setImmediate(() => child.emit("error", error));
      return child as ReturnType<typeof spawn>;
    });
    const { reader, poll } = await restarted();
    await poll();
    expect(reader.events.at(-1)).toContain(`cannot start xz (spawn xz ${code}); trying again`);
    nowMs = 1000;
    await poll();
    expect(reader.lines).toEqual([...all, "now"]);
    expect(reader.losses).toEqual([]);
  });

  test("because nothing comes for 240 beats, a minute, is no loss", async () => {
    const { log, program, reader, poll } = await restarted("hangs");
    const reading = poll();
    await waitUntil(() => expect(reader.lines).toHaveLength(1));
    for (let beat = 1; beat < 240; beat++) log.beat();
    expect(program.runs).toHaveLength(2);
    expect(reader.events).toEqual(["up"]);
    log.beat();
    await reading;
    expect(reader.events.at(-1)).toContain("xz has written nothing for a minute; trying again");
    nowMs = 1000;
    await poll();
    expect(reader.lines).toEqual([...all, "now"]);
    expect(reader.losses).toEqual([]);
  });

  test("by stop is no loss, and does not wait for the program", async () => {
    const { log, reader, poll } = await restarted("hangs");
    const reading = poll();
    await waitUntil(() => expect(reader.lines).toHaveLength(1));
    log.stop();
    await reading;
    expect(reader.losses).toEqual([]);
    expect(reader.events).toEqual(["up"]);
  });

  test("while the file of the position is looked for is no loss, and no line comes twice", async () => {
    const { from } = await halfRead("is killed");
    nowMs = 0;
    const { reader, poll } = open(from, { now: () => nowMs });
    await poll();
    expect(reader.lines).toEqual([]);
    expect(reader.events.at(-1)).toContain(`${path}.1.xz: xz was ended by SIGKILL; trying again`);
    nowMs = 1000;
    await poll();
    expect(reader.lines).toEqual(["line 2 of 2", "now"]);
    expect(reader.losses).toEqual([]);
  });
});

test("nothing waits for the program that tells whether a compressed file is the one read last", async () => {
  const { program, from } = await halfRead("hangs");
  const second = open(from);
  const reading = second.poll();
  await waitUntil(() => expect(program.runs).toHaveLength(1));
  second.log.stop();
  await reading;
  expect([second.reader.lines, second.reader.losses]).toEqual([[], []]);
  expect(second.reader.events).toEqual([]);
  const third = open(from);
  await third.poll();
  expect(third.reader.lines).toEqual(["line 2 of 2", "now"]);
});

test("compressed files from before the position are not looked into, the others once", async () => {
  const program = new StandInProgram("xz", directory);
  vi.stubEnv("PATH", program.path);
  for (const count of [4, 3, 2]) write(`${count}\n`, `${path}.${count}.xz`);
  write("one\n");
  const { reader, poll } = open("start");
  await poll();
  const { mtime } = statSync(path);
  copyFileSync(path, `${path}.1.xz`);
  utimesSync(`${path}.1.xz`, mtime, mtime);
  unlinkSync(path);
  writeFileSync(path, "");
  for (let second = 0; second < 5; second++) await poll();
  expect(reader.lines).toEqual(["one"]);
  // For its first bytes, and to see that nothing was added to it.
  expect(program.runs).toHaveLength(2);
});

test("a damaged compressed file delivers its intact part, and the rest is a loss", async () => {
  write("0\n");
  const first = open("start");
  await first.poll();
  renameSync(path, `${path}.2`);
  const text = Array.from({ length: 20_000 }, (_, i) => `${i} ${i * 7919}\n`).join("");
  const whole = gzipSync(text);
  writeFileSync(`${path}.1.gz`, whole.subarray(0, whole.length / 2));
  age(`${path}.1.gz`);
  write("now\n");
  const after = await linesAfterRestart(first);
  expect(after.lines.length).toBeGreaterThan(5000);
  expect(after.lines.at(-1)).toBe("now");
  expect(after.losses).toEqual([
    `cannot decompress the rest of ${path}.1.gz: unexpected end of file`,
  ]);
});

test("being stopped while a compressed file is read is no loss", async () => {
  write("0\n");
  const first = open("start");
  await first.poll();
  renameSync(path, `${path}.2`);
  write("1\n".repeat(1_000_000), `${path}.1`);
  gzip(`${path}.1`);
  write("now\n");
  first.log.stop();
  const { log, reader, poll } = open(first.reader.position ?? "start");
  const take = reader.bytes.bind(reader);
  reader.bytes = (chunk, at) => {
    take(chunk, at);
    log.stop();
  };
  await poll();
  expect(reader.lines.length).toBeLessThan(1_000_000);
  expect(reader.losses).toEqual([]);
});

test("lines are counted lost when the log is truncated while a backlog of it is unread", async () => {
  write(`${"x".repeat(127)}\n`.repeat(100_000));
  const { reader, poll } = open("start");
  await poll();
  const before = reader.lines.length;
  const backlog = `${"y".repeat(127)}\n`.repeat(100_000);
  write(backlog);
  const reading = poll();
  truncateSync(path);
  await reading;
  const unread = backlog.length - (reader.lines.length - before) * 128;
  expect(unread).toBeGreaterThan(0);
  expect(reader.losses).toEqual([
    `${path} was truncated before its last ${unread} bytes were read`,
  ]);
});

test("a position saved at any line end leads to the same lines as an unbroken run", async () => {
  const all = Array.from({ length: 50 }, (_, i) => `line ${i}`);
  write(`${all.join("\n")}\n`);
  const whole = open("start");
  await whole.poll();
  const position = whole.reader.position as LogPosition;
  const text = readFileSync(path, "latin1");
  for (const [index] of all.entries()) {
    const offset = text.split("\n").slice(0, index).join("\n").length + (index === 0 ? 0 : 1);
    const { reader, poll } = open({ ...position, offset });
    await poll();
    expect(reader.lines).toEqual(all.slice(index));
  }
});

test("a hundred rotations leave no more files open than a few", async () => {
  write("0\n");
  const { reader, poll } = open("start");
  await poll();
  const before = openDescriptors();
  for (let i = 1; i <= 100; i++) {
    renameSync(path, `${path}.1`);
    write(`${i}\n`);
    await poll();
  }
  expect(reader.lines).toHaveLength(101);
  expect(openDescriptors() - before).toBeLessThan(6);
});

test("after stop nothing is delivered and no file is open", async () => {
  write("one\n");
  // The first watch of a process opens what all later ones share.
  const first = open("start", { watch: true });
  await first.poll();
  first.log.stop();
  const before = openDescriptors();
  const { log, reader, poll } = open("start", { watch: true });
  await poll();
  log.stop();
  write("two\n");
  await poll();
  expect(reader.lines).toEqual(["one"]);
  expect(openDescriptors()).toBe(before);
});

test("watching, a lone line wakes the reader", async () => {
  write("one\n");
  const reader = new LogLines();
  const { poll } = open("start", { watch: true, listener: reader });
  await poll();
  const second = new Promise<string>((resolve) => {
    reader.bytes = (chunk) => resolve(chunk.toString());
  });
  write("two\n");
  expect(await second).toBe("two\n");
});

test("watching, a file that appears wakes the reader", async () => {
  const reader = new LogLines();
  const { poll } = open("start", { watch: true, listener: reader });
  await poll();
  const first = new Promise<string>((resolve) => {
    reader.bytes = (chunk) => resolve(chunk.toString());
  });
  write("one\n");
  expect(await first).toBe("one\n");
});

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}
