import { wrap } from "../text/wrapping.ts";
import { type FlagDefinition, type FlagTable, hasNegative } from "./flag-table.ts";

/** How help and documentation write a flag: `--[no-]web.ui`, `--path.procfs=/proc`. */
export function flagUsage(name: string, definition: FlagDefinition): string {
  if (definition.type === "boolean") {
    return hasNegative(name) ? `--[no-]${name}` : `--${name}`;
  }
  return `--${name}=${flagDefault(definition) || placeholder(definition)}`;
}

/** The default as text; empty if there is none to show. */
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

/** What `--help`, the manual page and the completions say about a command. */
export interface CommandHelp {
  /** Its usage line, such as `oom-exporter explain [FILE... or -] [FLAGS]`. */
  usage: string;
  about: string;
  /** Its commands and what each does. */
  commands?: Readonly<Record<string, string>>;
  flags: FlagTable;
  /** The meaning of each exit code. */
  exitCodes: Readonly<Record<number, string>>;
}

/** The `--help` text of a command: usage line, description, commands, a paragraph per flag, exit codes. */
export function helpText(
  { usage, about, commands = {}, flags: table, exitCodes }: CommandHelp,
  width: number,
): string {
  // On a narrow terminal the text of a flag stands below it.
  const indent = width < 90 ? 10 : 36;
  const lines = [...wrap(`usage: ${usage}`, width, 7), "", ...wrap(about, width), ""];
  if (Object.keys(commands).length > 0) {
    lines.push("Commands:", ...definitions(commands, width), "");
  }
  lines.push("Flags:");
  for (const [name, definition] of Object.entries(table)) {
    const short = name === "help" ? "  -h, " : "      ";
    const head = `${short}${flagUsage(name, definition)}`;
    const body = wrap(flagHelp(definition), width - indent);
    if (head.length < indent - 1) {
      lines.push(head.padEnd(indent) + (body.shift() ?? ""));
    } else {
      lines.push(head);
    }
    lines.push(...body.map((line) => " ".repeat(indent) + line));
  }
  lines.push("", "Exit codes:", ...definitions(exitCodes, width));
  return `${lines.join("\n")}\n`;
}

/** Names with their meaning beside them. */
function definitions(meanings: Readonly<Record<string, string>>, width: number): string[] {
  const indent = Math.max(...Object.keys(meanings).map((name) => name.length)) + 4;
  return Object.entries(meanings).flatMap(([name, meaning]) =>
    wrap(meaning, width - indent).map((line, at) =>
      at === 0 ? `  ${name}`.padEnd(indent) + line : " ".repeat(indent) + line,
    ),
  );
}

/** What a flag does, with its choices and a default that its usage does not show. */
export function flagHelp(definition: FlagDefinition): string {
  if (definition.type === "choice") {
    return `${definition.help} One of ${definition.choices.join(", ")}.`;
  }
  if (definition.type === "string" && definition.shownDefault !== undefined) {
    return `${definition.help} Default: ${definition.shownDefault}.`;
  }
  return definition.help;
}
