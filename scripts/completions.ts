import { commandSummaries } from "../src/command-line/commands.ts";
import { flagHelp } from "../src/command-line/flag-help.ts";
import type { FlagDefinition, FlagTable } from "../src/command-line/flag-table.ts";
import { commands } from "./manual.ts";

const generated = "# Generated from the flag tables by `npm run docs`.";

/** Files of a shell's completion, from the same table as `--help`. */
export const completions = {
  "oom-exporter.bash": bashCompletion,
  "_oom-exporter": zshCompletion,
  "oom-exporter.fish": fishCompletion,
} as const;

interface Word {
  /** Without the dashes. */
  name: string;
  definition: FlagDefinition;
  help: string;
}

/** Every form of a command's flags that can be typed. */
function words(table: FlagTable): Word[] {
  return Object.entries(table).flatMap(([name, definition]) => {
    const help = flagHelp(definition);
    const word = { name, definition, help };
    const isOnByDefault = definition.type === "boolean" && definition.default;
    return isOnByDefault ? [word, { ...word, name: `no-${name}`, help: `Not: ${help}` }] : [word];
  });
}

/** What comes after a flag. */
type Value = "file" | "directory" | "other" | "none" | { choices: readonly string[] };

function taken({ name, definition }: Word): Value {
  if (definition.type === "boolean") return "none";
  if (definition.type === "choice") return { choices: definition.choices };
  const placeholder = "placeholder" in definition ? definition.placeholder : "";
  if (placeholder === "FILE") return "file";
  return placeholder === "DIR" || name.endsWith("directory") ? "directory" : "other";
}

const names = Object.keys(commands);
const takesFiles = (command: string) => command === "explain";

function bashCompletion(): string {
  const tables = Object.entries(commands).map(([command, { flags }]) => {
    const all = words(flags).map((word) => `--${word.name}${taken(word) === "none" ? "" : "="}`);
    return `    ${command}) flags="${all.join(" ")}" ;;`;
  });
  const all = Object.values(commands).flatMap(({ flags }) => words(flags));
  const named = (wanted: Value) =>
    [...new Set(all.filter((word) => taken(word) === wanted).map(({ name }) => `--${name}`))].join(
      "|",
    );
  const choices = new Map(
    all.flatMap((word): [string, readonly string[]][] => {
      const value = taken(word);
      return typeof value === "object" ? [[word.name, value.choices]] : [];
    }),
  );
  return [
    generated,
    "_oom_exporter() {",
    `  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} command=serve flags word`,
    `  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do`,
    `    case $word in ${names.join("|")}) command=$word ;; esac`,
    "  done",
    "  COMPREPLY=()",
    "  # Readline splits --flag=value at the equals sign.",
    '  if [[ $cur == "=" ]]; then',
    "    cur=",
    '  elif [[ $prev == "=" ]]; then',
    `    prev=\${COMP_WORDS[COMP_CWORD - 2]}`,
    "  fi",
    "  case $prev in",
    `    ${named("file")}) COMPREPLY=($(compgen -f -- "$cur")); compopt -o filenames; return ;;`,
    `    ${named("directory")}) COMPREPLY=($(compgen -d -- "$cur")); compopt -o filenames; return ;;`,
    ...[...choices].map(
      ([name, values]) =>
        `    --${name}) COMPREPLY=($(compgen -W "${values.join(" ")}" -- "$cur")); return ;;`,
    ),
    `    ${named("other")}) return ;;`,
    "  esac",
    "  case $command in",
    ...tables,
    "  esac",
    "  if [[ $cur == -* ]]; then",
    '    COMPREPLY=($(compgen -W "$flags" -- "$cur"))',
    `    [[ \${COMPREPLY[0]} == *= ]] && compopt -o nospace`,
    "  elif [[ $command == explain ]]; then",
    '    COMPREPLY=($(compgen -f -- "$cur")); compopt -o filenames',
    "  elif ((COMP_CWORD == 1)); then",
    `    COMPREPLY=($(compgen -W "${Object.keys(commandSummaries).join(" ")}" -- "$cur"))`,
    "  elif ((COMP_CWORD == 2)) && [[ $prev == help ]]; then",
    `    COMPREPLY=($(compgen -W "${names.join(" ")}" -- "$cur"))`,
    "  fi",
    "}",
    "complete -F _oom_exporter oom-exporter",
    "",
  ].join("\n");
}

function zshCompletion(): string {
  const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  const described = (text: string) => text.replace(/([[\]:\\])/g, "\\$1");
  const specs = (table: FlagTable, command: string) => {
    const flags = words(table).map((word) => {
      const value = taken(word);
      const repeatable = word.definition.type === "list" ? "*" : "";
      const head = `${repeatable}--${word.name}${value === "none" ? "" : "="}[${described(word.help)}]`;
      if (value === "none") return quoted(head);
      if (value === "file") return quoted(`${head}:file:_files`);
      if (value === "directory") return quoted(`${head}:directory:_files -/`);
      if (value === "other") return quoted(`${head}:value:`);
      return quoted(`${head}:value:(${value.choices.join(" ")})`);
    });
    return [...flags, ...(takesFiles(command) ? [quoted("*:log:_files")] : [])];
  };
  const cases = Object.entries(commands).flatMap(([command, { flags }]) => [
    `    ${command})`,
    `      _arguments \\`,
    specs(flags, command)
      .map((spec) => `        ${spec}`)
      .join(" \\\n"),
    "      ;;",
  ]);
  return [
    "#compdef oom-exporter",
    generated,
    "_oom_exporter() {",
    "  local command=serve",
    `  if (( CURRENT > 2 )) && [[ \${words[2]} == (${names.join("|")}) ]]; then`,
    `    command=\${words[2]}`,
    `    words=("\${words[1]}" "\${(@)words[3,-1]}")`,
    "    (( CURRENT-- ))",
    `  elif (( CURRENT == 2 )) && [[ \${words[2]} != -* ]]; then`,
    "    local -a commands=(",
    ...Object.entries(commandSummaries).map(
      ([name, summary]) => `      ${quoted(`${name}:${described(summary)}`)}`,
    ),
    "    )",
    "    _describe command commands",
    "    return",
    "  fi",
    "  case $command in",
    ...cases,
    "  esac",
    "}",
    '_oom_exporter "$@"',
    "",
  ].join("\n");
}

function fishCompletion(): string {
  const quoted = (text: string) => `'${text.replace(/(['\\])/g, "\\$1")}'`;
  const others = names.filter((name) => name !== "serve").join(" ");
  const first = Object.entries(commandSummaries).map(
    ([name, summary]) =>
      `complete -c oom-exporter -n '__fish_use_subcommand' -a ${name} -d ${quoted(summary)}`,
  );
  const lines = Object.entries(commands).flatMap(([command, { flags }]) => {
    const condition =
      command === "serve"
        ? `not __fish_seen_subcommand_from ${others}`
        : `__fish_seen_subcommand_from ${command}`;
    const head = `complete -c oom-exporter -n ${quoted(condition)}`;
    return [
      ...words(flags).map((word) => {
        const value = taken(word);
        const takes =
          value === "none"
            ? ""
            : value === "file"
              ? " -rF"
              : value === "directory"
                ? " -xa '(__fish_complete_directories)'"
                : value === "other"
                  ? " -x"
                  : ` -xa ${quoted(value.choices.join(" "))}`;
        const short = word.name === "help" ? " -s h" : "";
        return `${head}${short} -l ${word.name}${takes} -d ${quoted(word.help)}`;
      }),
      ...(takesFiles(command) ? [`${head} -F`] : []),
    ];
  });
  return [generated, "complete -c oom-exporter -f", ...first, ...lines, ""].join("\n");
}
