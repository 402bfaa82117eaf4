import { type Logger, pino } from "pino";

export type { Logger } from "pino";

export interface LogOutputOptions {
  level: "debug" | "info" | "warn" | "error";
  format: "logfmt" | "json";
  /** Takes one line, its newline included. */
  write(line: string): void;
}

/** The exporter's own log, one record a line. The only module that knows pino. */
export function createLog({ level, format, write }: LogOutputOptions): Logger {
  return pino(
    {
      level,
      base: undefined,
      messageKey: "msg",
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: format === "json" ? write : (line) => write(logfmtOf(JSON.parse(line))) },
  );
}

/** `key=value` pairs; a value with blanks, quotes, `=` or control characters is quoted as JSON would. */
function logfmtOf(record: Record<string, unknown>): string {
  const pairs = Object.entries(record).map(([key, value]) => {
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    return `${key}=${/^[^\s"=\\\p{Cc}]+$/u.test(text) ? text : JSON.stringify(text)}`;
  });
  return `${pairs.join(" ")}\n`;
}
