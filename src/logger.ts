import { fstatSync, writeSync } from "node:fs";
import { type Logger, pino } from "pino";
import { jsonText, printableJson } from "./text/json-text.ts";

export type { Logger } from "pino";

export interface LogOutputOptions {
  level: "debug" | "info" | "warn" | "error";
  format: "logfmt" | "json";
  /** Writes one line, including its newline. */
  write(line: string): void;
}

/** The exporter's own log, one record per line. The only module that uses pino. */
export function createLog({ level, format, write }: LogOutputOptions): Logger {
  return pino(
    {
      level,
      base: undefined,
      messageKey: "msg",
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    {
      write: (line: string) =>
        write(
          `${format === "json" ? printableJson(line.trimEnd()) : logfmtOf(JSON.parse(line))}\n`,
        ),
    },
  );
}

/** `key=value` pairs; a value with blanks, quotes, `=` or control characters is quoted as JSON would. */
function logfmtOf(record: Record<string, unknown>): string {
  const pairs = Object.entries(record).map(([key, value]) => {
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    return `${key}=${/^[^\s"=\\\p{Cc}\p{Cf}]+$/u.test(text) ? text : jsonText(text)}`;
  });
  return pairs.join(" ");
}

/** The part of a stream such as `process.stderr` that log lines need. */
export interface LineStream {
  readonly fd?: number;
  readonly writableLength: number;
  readonly destroyed: boolean;
  write(text: string, done: (error?: Error | null) => void): boolean;
  on(event: "error", listener: () => void): unknown;
}

/** Writes `bytes` from an offset, like `fs.writeSync`, and returns the number written. */
type WriteBytes = (descriptor: number, bytes: Buffer, from: number) => number;

/** While this much text waits for a slow reader, further lines are lost. */
const waitingBytes = 256 * 1024;

/**
 * The destination of log lines. A line that cannot be written is lost and counted, whatever the reason: a full
 * disk, a closed pipe, a reader that stopped reading. The next line is tried again.
 */
export class LineOutput {
  readonly #stream: LineStream;
  readonly #file: number | undefined;
  readonly #onLost: () => void;
  readonly #writeBytes: WriteBytes;
  #isMidLine = false;

  constructor(stream: LineStream, onLost: () => void, writeBytes: WriteBytes = writeSync) {
    this.#writeBytes = writeBytes;
    this.#stream = stream;
    this.#onLost = onLost;
    // Without a listener the first error would end the process.
    stream.on("error", () => {});
    this.#file = stream.fd !== undefined && isFile(stream.fd) ? stream.fd : undefined;
  }

  /** Writes one line, including its newline. Never throws. */
  write(line: string): void {
    if (this.#file === undefined) this.#send(line);
    else this.#append(this.#file, line);
  }

  /** To a pipe, a socket or a terminal. */
  #send(line: string): void {
    if (this.#stream.destroyed || this.#stream.writableLength > waitingBytes) {
      this.#onLost();
      return;
    }
    this.#stream.write(line, (error) => {
      if (error) this.#onLost();
    });
  }

  /** To a file or device: Node.js abandons its stream at the first error, while the descriptor still works. */
  #append(descriptor: number, line: string): void {
    const bytes = Buffer.from(this.#isMidLine ? `\n${line}` : line);
    let written = 0;
    try {
      while (written < bytes.length) {
        written += this.#writeBytes(descriptor, bytes, written);
      }
      this.#isMidLine = false;
    } catch {
      this.#isMidLine = this.#isMidLine || written > 0;
      this.#onLost();
    }
  }
}

function isFile(descriptor: number): boolean {
  try {
    const stats = fstatSync(descriptor);
    return stats.isFile() || stats.isCharacterDevice();
  } catch {
    return false;
  }
}
