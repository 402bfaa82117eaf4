import { wrap } from "../text/wrapping.ts";
import type { FlagDefinition, FlagTable } from "./flag-table.ts";

/** Flags that are answered instead of the command: `--no-help` asks for nothing. */
const answers = new Set(["help", "version", "check"]);

/** How a flag is written in help and documentation: `--[no-]web.ui`, `--path.procfs=/proc`. */
export function flagUsage(name: string, definition: FlagDefinition): string {
  if (definition.type === "boolean") {
    return answers.has(name) ? `--${name}` : `--[no-]${name}`;
  }
  return `--${name}=${flagDefault(definition) || placeholder(definition)}`;
}

/** The default as text; empty where there is none that can be written down. */
export function flagDefault(definition: FlagDefinition): string {
  switch (definition.type) {
    case "boolean":
      return definition.default ? "on" : "off";
    case "list":
      return definition.default.join(" ");
    case "regexp":
      return "";
    default:
      return String(definition.default ?? "");
  }
}

function placeholder(definition: FlagDefinition): string {
  if (definition.type === "regexp") {
    return "REGEXP";
  }
  return "placeholder" in definition ? definition.placeholder : "";
}

/** What `--help`, the manual page and the completions say of a command. */
export interface CommandHelp {
  /** How it is called, such as `oom-exporter explain [FILE... or -] [FLAGS]`. */
  usage: string;
  about: string;
  flags: FlagTable;
  /** What each exit code means. */
  exitCodes: Readonly<Record<number, string>>;
}

/** The `--help` text of a command: its usage line, what it does, a paragraph for each flag, its exit codes. */
export function helpText({ usage, about, flags: table, exitCodes }: CommandHelp): string {
  const indent = 36;
  const lines = [`usage: ${usage}`, "", ...wrap(about, 100), "", "Flags:"];
  for (const [name, definition] of Object.entries(table)) {
    const short = name === "help" ? "  -h, " : "      ";
    const head = `${short}${flagUsage(name, definition)}`;
    const body = wrap(flagHelp(definition), 100 - indent);
    if (head.length < indent - 1) {
      lines.push(head.padEnd(indent) + (body.shift() ?? ""));
    } else {
      lines.push(head);
    }
    lines.push(...body.map((line) => " ".repeat(indent) + line));
  }
  lines.push("", "Exit codes:");
  for (const [code, meaning] of Object.entries(exitCodes)) lines.push(`  ${code}  ${meaning}`);
  return `${lines.join("\n")}\n`;
}

/** What a flag does, with its choices and a default that has no place in its usage. */
export function flagHelp(definition: FlagDefinition): string {
  if (definition.type === "choice") {
    return `${definition.help} One of ${definition.choices.join(", ")}.`;
  }
  if (definition.type === "string" && definition.shownDefault !== undefined) {
    return `${definition.help} Default: ${definition.shownDefault}.`;
  }
  return definition.help;
}
