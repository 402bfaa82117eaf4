import { parseArgs } from "node:util";
import { type CollectorName, collectorNames } from "./collectors/collector.ts";
import { type ListenAddress, parseListenAddress } from "./http/listeners.ts";

/** Wrong usage: the message is one line for the user, the exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

interface Common {
  help: string;
  /** Says what is wrong with a value, or nothing. */
  check?(value: string): string | undefined;
}

/** What a flag takes and what it is where it is not given. */
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
  /** Names of the flags that stood on the command line. */
  given: ReadonlySet<string>;
  positionals: string[];
}

const collectorHelp: Record<CollectorName, string> = {
  host: "Read memory, swap, pressure and the kernel's kill count of the host.",
  cgroups: "Read the memory of every cgroup.",
  processes: "Rank the processes as the kernel would kill them.",
  kills: "Follow the kernel log and count its kills.",
  log: "Report on the kernel log source itself.",
};

const collectorFlags = Object.fromEntries(
  collectorNames.map((name) => [
    `collector.${name}`,
    { type: "boolean", default: true, help: collectorHelp[name] },
  ]),
) as Record<`collector.${CollectorName}`, { type: "boolean"; default: boolean; help: string }>;

/** `--help` and `--version`, which every command takes. */
const commonFlags = {
  version: { type: "boolean", default: false, help: "Print the version and exit." },
  help: { type: "boolean", default: false, help: "Print this help and exit." },
} as const satisfies FlagTable;

/** Taken where it can be written, and no other is given. */
export const defaultStateDirectory = "/var/lib/oom-exporter";

/** Paths that are served at fixed places, so the metrics cannot be. */
const takenPath = /^\/(api|kills|-)(\/|$)/;

/** The flags of `oom-exporter serve`; help, parsing and docs/flags.md are made from this. */
export const serveFlags = {
  "web.listen-address": {
    type: "list",
    placeholder: "ADDRESS",
    default: [":10137"],
    check: (value) => {
      const address = parseListenAddress(value);
      return typeof address === "string" ? address : undefined;
    },
    help: "Address to listen on, HOST:PORT, [IPV6]:PORT or :PORT for every interface. Repeatable.",
  },
  "web.telemetry-path": {
    type: "string",
    placeholder: "PATH",
    default: "/metrics",
    check: (value) => {
      if (!/^\/[\w.~/-]*$/.test(value)) {
        return "want a path such as /metrics, of letters, digits and -._~/";
      }
      return takenPath.test(value) ? "something else is served there" : undefined;
    },
    help: "Path under which the metrics are served; / leaves no room for the status page.",
  },
  "web.config.file": {
    type: "string",
    placeholder: "FILE",
    check: () =>
      "TLS and authentication are not part of this version; put a reverse proxy in front and listen on 127.0.0.1",
    help: "TLS and basic authentication in exporter-toolkit's format; refused by this version.",
  },
  "web.max-requests": {
    type: "integer",
    default: 40,
    minimum: 0,
    help: "Scrapes served at the same time; further ones are answered 503. 0 is no limit.",
  },
  "web.external-url": {
    type: "string",
    placeholder: "URL",
    check: (value) => {
      const url = URL.canParse(value) ? new URL(value) : undefined;
      return url?.protocol === "http:" || url?.protocol === "https:"
        ? undefined
        : "want a URL such as https://monitoring.example.org/oom";
    },
    help: "URL under which users reach this exporter, where a reverse proxy stands in front.",
  },
  "web.ui": {
    type: "boolean",
    default: true,
    help: "Serve the status page and the pages that tell each kill.",
  },
  "path.procfs": {
    type: "string",
    placeholder: "DIR",
    default: "/proc",
    help: "Where procfs is mounted.",
  },
  "path.sysfs": {
    type: "string",
    placeholder: "DIR",
    default: "/sys",
    help: "Where sysfs is mounted; cgroups are read under fs/cgroup in it.",
  },
  "path.rootfs": {
    type: "string",
    placeholder: "DIR",
    default: "/",
    help: "Where the host's root file system is mounted, for its logs and container names.",
  },
  "kernel-log.source": {
    type: "choice",
    choices: ["auto", "file", "kmsg", "none"],
    default: "auto",
    help: "Where kills are read from; auto takes kern.log, else /dev/kmsg, else messages, else syslog.",
  },
  "kernel-log.file": {
    type: "string",
    placeholder: "FILE",
    shownDefault: "/var/log/kern.log under --path.rootfs",
    help: "Kernel log file to follow, waited for if it is not there yet; implies --kernel-log.source=file.",
  },
  "state.directory": {
    type: "string",
    placeholder: "DIR",
    shownDefault: `$STATE_DIRECTORY, else ${defaultStateDirectory} if it can be written`,
    help: "Where kill counts and the log position survive a restart.",
  },
  ...collectorFlags,
  "collector.cgroups.include": {
    type: "regexp",
    help: "Only cgroups whose path matches get series.",
  },
  "collector.cgroups.exclude": {
    type: "regexp",
    help: "Cgroups whose path matches get none, even if included.",
  },
  "collector.cgroups.max": {
    type: "integer",
    default: 2000,
    minimum: 1,
    help: "Most cgroups that get series; oom_cgroups_left_out counts the others.",
  },
  "collector.processes.top": {
    type: "integer",
    default: 20,
    minimum: 0,
    help: "Processes that get series, those the kernel would kill first; 0 is all of them.",
  },
  "log.level": {
    type: "choice",
    choices: ["debug", "info", "warn", "error"],
    default: "info",
    help: "Least severe messages to log.",
  },
  "log.format": {
    type: "choice",
    choices: ["logfmt", "json"],
    default: "logfmt",
    help: "Form of the log on stderr.",
  },
  ...commonFlags,
} as const satisfies FlagTable;

export interface ServeFlags extends FlagValues<typeof serveFlags> {
  /** `--web.listen-address`, parsed. */
  listenAddresses: ListenAddress[];
  collectors: CollectorName[];
}

/**
 * Reads the command line of `serve`.
 *
 * @throws {UsageError} naming the flag, its value and what is allowed.
 */
export function parseServeFlags(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): ServeFlags {
  const { values, given, positionals } = parseFlags(serveFlags, argv);
  if (positionals[0] !== undefined) {
    throw new UsageError(`unexpected argument "${positionals[0]}"; see oom-exporter --help`);
  }
  return {
    ...values,
    ...settled(values, given, env),
    collectors: collectorNames.filter((name) => values[`collector.${name}`]),
  };
}

type Settled = "kernel-log.source" | "state.directory";

/**
 * What follows from flags together and from the environment, alike for `serve` and `doctor`.
 *
 * @throws {UsageError} where two flags contradict each other.
 */
export function settled(
  values: Pick<FlagValues<typeof serveFlags>, Settled | "web.listen-address">,
  given: ReadonlySet<string>,
  env: Readonly<Record<string, string | undefined>>,
): Pick<ServeFlags, Settled | "listenAddresses"> {
  const source = values["kernel-log.source"];
  if (given.has("kernel-log.file") && given.has("kernel-log.source") && source !== "file") {
    throw new UsageError(
      `--kernel-log.file cannot be read with --kernel-log.source=${source}; give one of the two`,
    );
  }
  return {
    "kernel-log.source": given.has("kernel-log.file") ? "file" : source,
    // systemd gives a list where a unit has several StateDirectory= entries; the first is the unit's own.
    "state.directory":
      values["state.directory"] ?? (env.STATE_DIRECTORY?.split(":")[0] || undefined),
    listenAddresses: values["web.listen-address"].flatMap((text) => {
      const address = parseListenAddress(text);
      return typeof address === "string" ? [] : [address];
    }),
  };
}

/**
 * Reads a command line by a table of flags: `--name value`, `--name=value`, `--name` and
 * `--no-name` for booleans, `--` before positionals that begin with a dash.
 *
 * @throws {UsageError} naming the flag, its value and what is allowed.
 */
export function parseFlags<Table extends FlagTable>(
  table: Table,
  argv: readonly string[],
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
      const { name, text } = readOption(table, token);
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

/** Node 20.0 knows no `allowNegative`, so the `--no-` forms are options of their own. */
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

function readOption(table: FlagTable, token: OptionToken): { name: string; text: string } {
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
    const hint = nearest === undefined ? "see oom-exporter --help" : `did you mean --${nearest}?`;
    throw new UsageError(`unknown flag ${rawName}; ${hint}`);
  }
  if (value !== undefined) {
    throw new UsageError(
      `${rawName} takes no value, and "${value}" is one; say --${positive} or --no-${positive}`,
    );
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
        throw refuse(text, `want a whole number, ${definition.minimum} or more`);
      }
      return value;
    }
    case "choice":
      if (text !== undefined && !definition.choices.includes(text)) {
        throw refuse(text, `want one of ${definition.choices.join(", ")}`);
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

/** The known flag that a mistyped one is likely to mean. */
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

/** How a flag is written in help and documentation: `--[no-]web.ui`, `--path.procfs=/proc`. */
export function flagUsage(name: string, definition: FlagDefinition): string {
  if (definition.type === "boolean") {
    return name in commonFlags ? `--${name}` : `--[no-]${name}`;
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

/** The `--help` text of a command: its usage line, what it does, and a paragraph for each flag. */
export function helpText(usage: string, about: string, table: FlagTable): string {
  const indent = 36;
  const lines = [`usage: ${usage}`, "", about, "", "Flags:"];
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

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
