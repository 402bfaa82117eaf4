import { type CommandHelp, flagHelp, flagUsage } from "../src/command-line/flag-help.ts";
import { doctorHelp } from "../src/commands/doctor.ts";
import { explainHelp } from "../src/commands/explain.ts";
import { serveHelp } from "../src/commands/serve.ts";
import { victimsHelp } from "../src/commands/victims.ts";

/** The commands by name, in the order of the manual; `serve` is the one that needs no name. */
export const commands = {
  serve: serveHelp,
  explain: explainHelp,
  victims: victimsHelp,
  doctor: doctorHelp,
} as const satisfies Record<string, CommandHelp>;

/** packaging/oom-exporter.1, in the man macros. */
export function manualPage(): string {
  const sections = Object.entries(commands).map(([name, { about, flags }]) => [
    `.SS oom-exporter ${name}`,
    roff(about),
    ...Object.entries(flags).flatMap(([flag, definition]) => [
      ".TP",
      `.B ${roff(`${flag === "help" ? "-h, " : ""}${flagUsage(flag, definition)}`)}`,
      roff(flagHelp(definition)),
    ]),
  ]);
  const exits = Object.entries(commands).flatMap(([name, { exitCodes }]) => [
    `.SS oom-exporter ${name}`,
    ...Object.entries(exitCodes).flatMap(([code, meaning]) => [".TP", `.B ${code}`, roff(meaning)]),
  ]);
  const lines = [
    '.\\" Generated from the flag tables by `npm run docs`.',
    '.TH OOM-EXPORTER 1 "" "oom-exporter" "User Commands"',
    ".SH NAME",
    "oom-exporter \\- Prometheus exporter for Linux out-of-memory kills",
    ".SH SYNOPSIS",
    ".B oom-exporter",
    "[\\fBserve\\fR] [\\fIFLAGS\\fR]",
    ".br",
    ".B oom-exporter explain",
    "[\\fIFILE\\fR... | \\-] [\\fIFLAGS\\fR]",
    ".br",
    ".B oom-exporter victims",
    "[\\fIFLAGS\\fR]",
    ".br",
    ".B oom-exporter doctor",
    "[\\fIFLAGS\\fR]",
    ".SH DESCRIPTION",
    "oom-exporter reads the kernel log and the kernel's memory files. It counts every process that the",
    "kernel killed because memory ran out, explains which one was killed and why, and shows which is",
    "next. The service serves metrics, a status page and a page for each kill on port 10137.",
    ".SH COMMANDS AND FLAGS",
    "A flag takes its value after an equals sign or a space. Flags with",
    ".B [no\\-]",
    "are switched off by their \\fB\\-\\-no\\-\\fR form.",
    ...sections.flat(),
    ".SH EXIT STATUS",
    ...exits,
    ".SH FILES",
    ...term(
      "/etc/default/oom-exporter",
      "Flags of the service. /etc/sysconfig/oom-exporter where it was installed from an RPM package.",
    ),
    ...term("/var/lib/oom-exporter", "Kill counts and the position in the kernel log."),
    ...term(
      "/usr/share/oom-exporter",
      "Alert rules, dashboards, runbooks, and drop-ins for the unit.",
    ),
    ".SH ENVIRONMENT",
    ...term("STATE_DIRECTORY", "Used where --state.directory is not given; systemd sets it."),
    ...term("NO_COLOR", "Where it is set and not empty, commands print no colours."),
    ".SH EXAMPLES",
    ...term("oom-exporter doctor", "What can be read here, and how to fix what cannot."),
    ...term(
      "journalctl -k -o json | oom-exporter explain -",
      "Each kill in the journal, explained.",
    ),
    ...term(
      "oom-exporter victims --cgroup /system.slice/mysql.service",
      "Which process dies when that cgroup reaches its limit.",
    ),
    ".SH SEE ALSO",
    ".BR journalctl (1),",
    ".BR proc (5),",
    ".BR systemd.resource\\-control (5)",
    "",
  ];
  return lines.join("\n");
}

function term(name: string, meaning: string): string[] {
  return [".TP", `.B ${roff(name)}`, roff(meaning)];
}

/** Text that roff prints as it is: hyphens that can be copied, no line that looks like a request. */
function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/gm, "\\&$1");
}
