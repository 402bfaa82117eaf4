#!/usr/bin/env -S node --single-threaded
import { existsSync, fstatSync, realpathSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { commandSummaries } from "./command-line/commands.ts";
import { UsageError } from "./command-line/flag-table.ts";
import { ListenError } from "./http/listen-error.ts";
import { jsonText } from "./text/json-text.ts";
import { printable } from "./text/printable.ts";
import { WebConfigError } from "./web-config/web-config-error.ts";

// Without a handler this signal opens Node's inspector, which allows running code.
process.on("SIGUSR1", () => {});

/** The reader may close the pipe early, as `explain | head` does; any other error is a failure. */
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  process.stderr.write(`oom-exporter: cannot write to standard output: ${error.message}\n`);
  process.exit(1);
});

// No top-level await: the CommonJS bundle of the single executable has none.
void run(process.argv.slice(2)).then(
  (exitCode) => {
    process.exitCode = exitCode;
  },
  (error: unknown) => {
    const known = [UsageError, ListenError, WebConfigError];
    if (!(error instanceof Error) || !known.some((kind) => error instanceof kind)) throw error;
    process.stderr.write(`${failureLine(error.message, process.argv)}\n`);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  },
);

/** Why the exporter does not start, in the format of its log. */
function failureLine(message: string, argv: readonly string[]): string {
  const isJson = argv.some(
    (word, at) =>
      word === "--log.format=json" || (word === "--log.format" && argv[at + 1] === "json"),
  );
  if (!isJson) return `oom-exporter: ${printable(message)}`;
  return jsonText({ level: "error", time: new Date().toISOString(), msg: message });
}

function twiceASecond(tick: () => void): () => void {
  const timer = setInterval(tick, 500);
  return () => clearInterval(timer);
}

/** False also if it is closed. */
function isFile(descriptor: number): boolean {
  try {
    return fstatSync(descriptor).isFile();
  } catch {
    return false;
  }
}

/** This program's file, links resolved. */
function program(): string {
  return realpathSync(process.argv[1] ?? process.execPath);
}

/** Each command loads its own modules: `explain` needs no HTTP server. */
async function run(argv: string[]): Promise<number | undefined> {
  const [command = "", ...rest] = argv;
  if (command === "help") return run([...rest.slice(0, 1), "--help"]);
  if (command === "version") return run(["--version"]);
  if (command === "explain") {
    const { explain } = await import("./commands/explain.ts");
    const { placeOfDocument } = await import("./commands/documents.ts");
    const { stdout, stderr, stdin, env } = process;
    return explain(rest, {
      stdout,
      stderr,
      stdin,
      ticker: isFile(stdin.fd) ? undefined : twiceASecond,
      clock: () => Date.now(),
      rootfs: "/",
      env,
      placeOf: (document, exporterUrl) =>
        placeOfDocument(document, {
          exporterUrl,
          program: program(),
          exists: existsSync,
        }),
    });
  }
  if (command === "victims") {
    const { victims } = await import("./commands/victims.ts");
    const { stdout, stderr, env } = process;
    return victims(rest, { stdout, stderr, env, monotonicMs: () => performance.now() });
  }
  if (command === "doctor") {
    const { doctor, userName } = await import("./commands/doctor.ts");
    const { placeOfDropIn } = await import("./commands/documents.ts");
    const { placeOf } = await import("./commands/place.ts");
    const { stdout, stderr, env } = process;
    const userId = process.geteuid?.() ?? 0;
    return doctor(rest, {
      stdout,
      stderr,
      env,
      clock: () => Date.now(),
      user: userName(userId),
      userId,
      place: placeOf(env),
      shipped: (name) => placeOfDropIn(name, { program: program(), exists: existsSync }),
    });
  }
  if (command === "serve" || command === "" || command.startsWith("-")) {
    const flags = command === "serve" ? rest : argv;
    if (flags.includes("--check")) {
      const { check } = await import("./commands/check.ts");
      const { stderr, env } = process;
      return check(flags, { stderr, env, monotonicMs: () => performance.now() });
    }
    // Keeps the young generation from growing: a third less anonymous memory, which matters most when memory is
    // short. Must be set before the modules are loaded, which would make it grow.
    setFlagsFromString("--semi-space-growth-factor=1");
    // Collects garbage once it makes up a third of what is in use, not two to four times as much: half the
    // anonymous memory after 200 scrapes, for the same processor time.
    setFlagsFromString("--heap-growing-percent=30");
    const { serve } = await import("./commands/serve.ts");
    return serve(flags);
  }
  throw new UsageError(
    `unknown command "${command}"; commands are ${Object.keys(commandSummaries).join(", ")}`,
  );
}
