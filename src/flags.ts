import {
  type FlagTable,
  type FlagValues,
  parseFlags,
  UsageError,
} from "./command-line/flag-table.ts";
import { parseExternalUrl } from "./http/external-url.ts";
import { type ListenAddress, parseListenAddress } from "./http/listeners.ts";
import { type CollectorName, collectorNames, collectors } from "./metrics/catalog.ts";

const collectorFlags = Object.fromEntries(
  collectorNames.map((name) => [
    `collector.${name}`,
    { type: "boolean", default: true, help: collectors[name].help },
  ]),
) as Record<`collector.${CollectorName}`, { type: "boolean"; default: boolean; help: string }>;

/** `--help` and `--version`, for every command. */
const commonFlags = {
  version: { type: "boolean", default: false, help: "Print the version and exit." },
  help: { type: "boolean", default: false, help: "Print this help and exit." },
} as const satisfies FlagTable;

/** Used if it is writable and no other directory is given. */
export const defaultStateDirectory = "/var/lib/oom-exporter";

/** Paths with other content, so metrics cannot use them. */
const takenPath = /^\/(api|kills|runbooks|software|-)(\/|$)/;

/** Flags of `oom-exporter serve`; help, parsing and docs/flags.md use this table. */
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
        return "must be a path such as /metrics, of letters, digits and -._~/";
      }
      return takenPath.test(value) ? "this path is reserved for other pages" : undefined;
    },
    help: "Path under which metrics are served; / replaces the status page.",
  },
  "web.config.file": {
    type: "string",
    placeholder: "FILE",
    help: "TLS, client certificates, passwords and rate limit, in exporter-toolkit's format (docs/security.md).",
  },
  "web.systemd-socket": {
    type: "boolean",
    default: false,
    help: "Listen on the sockets of a systemd .socket unit instead of --web.listen-address.",
  },
  "web.max-requests": {
    type: "integer",
    default: 40,
    minimum: 0,
    help: "Maximum number of concurrent scrapes; further ones are answered 503. 0 means no limit.",
  },
  "web.external-url": {
    type: "string",
    placeholder: "URL",
    check: (value) => {
      const parsed = parseExternalUrl(value);
      return typeof parsed === "string" ? parsed : undefined;
    },
    help: "URL under which users reach this exporter, for links in alerts and behind a reverse proxy.",
  },
  "web.ui": {
    type: "boolean",
    default: true,
    help: "Serve the status page and a page for each kill.",
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
    help: "Where the host's root file system is mounted, to read its logs and container names.",
  },
  "kernel-log.source": {
    type: "choice",
    choices: ["auto", "file", "kmsg", "none"],
    default: "auto",
    help: "Where to read kills from; auto uses kern.log, else /dev/kmsg, else messages, else syslog.",
  },
  "kernel-log.file": {
    type: "string",
    placeholder: "FILE",
    shownDefault: "/var/log/kern.log under --path.rootfs",
    help: "Kernel log file to follow; need not exist yet. Implies --kernel-log.source=file.",
  },
  "daemon-log.source": {
    type: "choice",
    choices: ["auto", "file", "journal", "none"],
    default: "auto",
    help: "Where to read kills by systemd-oomd, earlyoom and nohang from; auto uses the journal, else syslog, messages or daemon.log. file and journal also follow the kubelet.",
  },
  "state.directory": {
    type: "string",
    placeholder: "DIR",
    shownDefault: `$STATE_DIRECTORY, else ${defaultStateDirectory} if it can be written`,
    help: "Directory in which kill counts and log position are kept across restarts.",
  },
  ...collectorFlags,
  "collector.cgroups.include": {
    type: "regexp",
    help: "Export only cgroups whose path matches.",
  },
  "collector.cgroups.exclude": {
    type: "regexp",
    help: "Do not export cgroups whose path matches, even if included.",
  },
  "collector.cgroups.max": {
    type: "integer",
    default: 2000,
    minimum: 1,
    help: "Maximum number of cgroups exported; oom_cgroups_left_out counts the others.",
  },
  "collector.processes.top": {
    type: "integer",
    default: 20,
    minimum: 0,
    help: "Number of processes exported, those the kernel would kill first; 0 means all.",
  },
  "collector.processes.program": {
    type: "boolean",
    default: true,
    help: "Find out which script, module, main class or jar an interpreter runs; nothing else of a command line is kept.",
  },
  "log.level": {
    type: "choice",
    choices: ["debug", "info", "warn", "error"],
    default: "info",
    help: "Minimum severity to log.",
  },
  "log.format": {
    type: "choice",
    choices: ["logfmt", "json"],
    default: "logfmt",
    help: "Format of the log on stderr.",
  },
  check: {
    type: "boolean",
    default: false,
    help: "Ask the exporter that runs with these flags whether it is healthy, and exit: 0 if it is, else 1.",
  },
  "check.wait": {
    type: "integer",
    default: 0,
    minimum: 0,
    help: "Seconds that --check waits for the exporter to become ready.",
  },
  ...commonFlags,
} as const satisfies FlagTable;

export interface ServeFlags extends FlagValues<typeof serveFlags> {
  /** `--web.listen-address`, parsed. */
  listenAddresses: ListenAddress[];
  /** `--web.external-url`, without a slash at its end. */
  externalUrl: string | undefined;
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
  const external = parseExternalUrl(values["web.external-url"] ?? "");
  return {
    ...values,
    ...resolveFlags(values, given, env),
    externalUrl: typeof external === "string" ? undefined : external.url,
    collectors: collectorNames.filter((name) => values[`collector.${name}`]),
  };
}

type ResolvedFlag = "kernel-log.source" | "state.directory";

/**
 * Resolves flags that depend on each other or on the environment, for `serve` and `doctor`.
 *
 * @throws {UsageError} if two flags contradict each other.
 */
export function resolveFlags(
  values: Pick<FlagValues<typeof serveFlags>, ResolvedFlag | "web.listen-address">,
  given: ReadonlySet<string>,
  env: Readonly<Record<string, string | undefined>>,
): Pick<ServeFlags, ResolvedFlag | "listenAddresses"> {
  const source = values["kernel-log.source"];
  if (given.has("kernel-log.file") && given.has("kernel-log.source") && source !== "file") {
    throw new UsageError(
      `--kernel-log.file cannot be combined with --kernel-log.source=${source}; use one of them`,
    );
  }
  return {
    "kernel-log.source": given.has("kernel-log.file") ? "file" : source,
    // systemd passes a list if a unit has several StateDirectory= entries; the first is the unit's own.
    "state.directory":
      values["state.directory"] ?? (env.STATE_DIRECTORY?.split(":")[0] || undefined),
    listenAddresses: values["web.listen-address"].flatMap((text) => {
      const address = parseListenAddress(text);
      return typeof address === "string" ? [] : [address];
    }),
  };
}
