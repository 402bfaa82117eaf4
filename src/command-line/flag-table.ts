import { parseArgs } from "node:util";

/** Invalid usage: the message is one line for the user, the exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

interface Common {
  help: string;
  /** Says what is wrong with a value; `undefined` if it is valid. */
  check?(value: string): string | undefined;
}

/** Flags that print something instead of running the command. */
const answers = new Set(["help", "version", "check"]);

/** Whether a boolean flag has a `--no-` form that is of any use. */
export function hasNegative(name: string): boolean {
  return !answers.has(name);
}

/** The type of a flag and its default. */
export type FlagDefinition =
  | (Common & { type: "boolean"; default: boolean })
  | (Common & { type: "string"; placeholder: string; default?: string; shownDefault?: string })
  | (Common & { type: "list"; placeholder: string; default: readonly string[] })
  | (Common & { type: "integer"; default: number; minimum: number })
  | (Common & { type: "choice"; choices: readonly string[]; default: string })
  | (Common & { type: "regexp" });

export interface FlagTable {
  readonly [name: string]: FlagDefinition;
}

type FlagValue<Definition extends FlagDefinition> = Definition extends { type: "boolean" }
  ? boolean
  : Definition extends { type: "list" }
    ? readonly string[]
    : Definition extends { type: "integer" }
      ? number
      : Definition extends { type: "choice"; choices: readonly (infer Choice)[] }
        ? Choice
        : Definition extends { type: "regexp" }
          ? RegExp | undefined
          : Definition extends { default: string }
            ? string
            : string | undefined;

export type FlagValues<Table extends FlagTable> = {
  -readonly [Name in keyof Table]: FlagValue<Table[Name]>;
};

export interface ParsedFlags<Table extends FlagTable> {
  values: FlagValues<Table>;
  /** Names of the flags given on the command line. */
  given: ReadonlySet<string>;
  positionals: string[];
}

/**
 * Parses a command line according to a flag table: `--name value`, `--name=value`, `--name` and `--no-name` for
 * booleans, `--` before positionals that start with a dash. `command` is what the error names: `oom-exporter explain`.
 *
 * @throws {UsageError} with the flag, its value and the allowed values.
 */
export function parseFlags<Table extends FlagTable>(
  table: Table,
  argv: readonly string[],
  command = "oom-exporter",
): ParsedFlags<Table> {
  const { tokens } = parseArgs({
    args: [...argv],
    options: parserOptions(table),
    strict: false,
    tokens: true,
  });
  const given = new Map<string, string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === "positional") {
      positionals.push(token.value);
    }
    if (token.kind === "option") {
      const { name, text } = readOption(table, token, command);
      const definition = table[name] as FlagDefinition;
      const before = given.get(name);
      if (before !== undefined && definition.type !== "list") {
        throw new UsageError(`--${name} is given twice`);
      }
      given.set(name, [...(before ?? []), text]);
    }
  }
  const values = Object.entries(table).map(([name, definition]) => [
    name,
    readValue(name, definition, given.get(name)),
  ]);
  return {
    values: Object.fromEntries(values) as FlagValues<Table>,
    given: new Set(given.keys()),
    positionals,
  };
}

/** Node 20.0 has no `allowNegative`, so the `--no-` forms are separate options. */
function parserOptions(table: FlagTable) {
  const options: Record<string, { type: "string" | "boolean"; short?: string }> = {};
  for (const [name, { type }] of Object.entries(table)) {
    options[name] = { type: type === "boolean" ? "boolean" : "string" };
    if (type === "boolean") {
      options[`no-${name}`] = { type: "boolean" };
    }
  }
  if (options.help !== undefined) {
    options.help.short = "h";
  }
  return options;
}

interface OptionToken {
  name: string;
  rawName: string;
  value: string | undefined;
  inlineValue: boolean | undefined;
}

function readOption(
  table: FlagTable,
  token: OptionToken,
  command: string,
): { name: string; text: string } {
  const { name, rawName, value } = token;
  const positive = name.startsWith("no-") ? name.slice(3) : name;
  if (Object.hasOwn(table, name) && table[name]?.type !== "boolean") {
    if (value === undefined || (token.inlineValue === false && value.startsWith("--"))) {
      throw new UsageError(`${rawName} needs a value`);
    }
    return { name, text: value };
  }
  if (!Object.hasOwn(table, positive) || table[positive]?.type !== "boolean") {
    const nearest = nearestFlag(table, name);
    const hint = nearest === undefined ? `see ${command} --help` : `did you mean --${nearest}?`;
    throw new UsageError(`unknown flag ${rawName}; ${hint}`);
  }
  if (value !== undefined) {
    const forms = hasNegative(positive) ? `--${positive} or --no-${positive}` : `--${positive}`;
    throw new UsageError(`${rawName} takes no value, but got "${value}"; use ${forms}`);
  }
  return { name: positive, text: name === positive ? "true" : "false" };
}

function readValue(name: string, definition: FlagDefinition, texts: string[] | undefined): unknown {
  const refuse = (text: string, why: string) => new UsageError(`--${name}=${text}: ${why}`);
  for (const text of texts ?? []) {
    const complaint = text === "" ? "the value is empty" : definition.check?.(text);
    if (complaint !== undefined) {
      throw refuse(text, complaint);
    }
  }
  const text = texts?.[0];
  switch (definition.type) {
    case "boolean":
      return text === undefined ? definition.default : text === "true";
    case "string":
      return text ?? definition.default;
    case "list":
      return texts ?? definition.default;
    case "integer": {
      if (text === undefined) {
        return definition.default;
      }
      const value = Number(text);
      if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < definition.minimum) {
        throw refuse(text, `must be a whole number, ${definition.minimum} or more`);
      }
      return value;
    }
    case "choice":
      if (text !== undefined && !definition.choices.includes(text)) {
        throw refuse(text, `must be one of ${definition.choices.join(", ")}`);
      }
      return text ?? definition.default;
    case "regexp":
      try {
        return text === undefined ? undefined : new RegExp(text);
      } catch (error) {
        throw refuse(text ?? "", `not a regular expression: ${(error as Error).message}`);
      }
  }
}

/** The known flag closest to a mistyped one. */
function nearestFlag(table: FlagTable, name: string): string | undefined {
  const known = Object.entries(table).flatMap(([flag, { type }]) =>
    type === "boolean" ? [flag, `no-${flag}`] : [flag],
  );
  const ranked = known
    .map((flag) => ({ flag, distance: editDistance(name, flag) }))
    .sort((a, b) => a.distance - b.distance);
  const best = ranked[0];
  return best !== undefined && best.distance <= Math.max(2, name.length / 4)
    ? best.flag
    : undefined;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const substituted = (row[j] as number) + (a[i] === b[j] ? 0 : 1);
      next.push(Math.min(substituted, (row[j + 1] as number) + 1, (next[j] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
