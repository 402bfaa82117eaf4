import { describe, expect, it } from "vitest";
import { commandSummaries } from "../src/command-line/commands.ts";
import { helpText } from "../src/command-line/flag-help.ts";
import { type FlagTable, parseFlags, UsageError } from "../src/command-line/flag-table.ts";
import { serveHelp } from "../src/commands/serve.ts";
import { parseServeFlags, serveFlags } from "../src/flags.ts";
import { collectorNames } from "../src/metrics/catalog.ts";

function complaint(...argv: string[]): string {
  try {
    parseServeFlags(argv, {});
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    expect((error as Error).message).not.toContain("\n");
    return (error as Error).message;
  }
  throw new Error(`${argv.join(" ")} was accepted`);
}

describe("the flags of serve", () => {
  it("need not be given", () => {
    expect(parseServeFlags([], {})).toMatchObject({
      listenAddresses: [{ port: 10137 }],
      "web.telemetry-path": "/metrics",
      "web.max-requests": 40,
      "web.ui": true,
      "path.procfs": "/proc",
      "path.sysfs": "/sys",
      "path.rootfs": "/",
      "kernel-log.source": "auto",
      "kernel-log.file": undefined,
      "state.directory": undefined,
      collectors: collectorNames,
      "collector.cgroups.max": 2000,
      "collector.processes.top": 20,
      "log.level": "info",
      "log.format": "logfmt",
    });
  });

  it("take a value after a space or an equals sign", () => {
    expect(parseServeFlags(["--path.procfs", "/host/proc"], {})["path.procfs"]).toBe("/host/proc");
    expect(parseServeFlags(["--path.procfs=/a=b"], {})["path.procfs"]).toBe("/a=b");
  });

  it("listen on every address that is given, instead of the default", () => {
    const flags = parseServeFlags(
      ["--web.listen-address=127.0.0.1:1", "--web.listen-address", "[::1]:2"],
      {},
    );
    expect(flags.listenAddresses).toEqual([
      { host: "127.0.0.1", port: 1 },
      { host: "::1", port: 2 },
    ]);
  });

  it.each(collectorNames)("switch the collector %s off and on", (name) => {
    const others = collectorNames.filter((other) => other !== name);
    expect(parseServeFlags([`--no-collector.${name}`], {}).collectors).toEqual(others);
    expect(parseServeFlags([`--collector.${name}`], {}).collectors).toEqual(collectorNames);
  });

  it("switch the pages off", () => {
    expect(parseServeFlags(["--no-web.ui"], {})["web.ui"]).toBe(false);
  });

  it("read a regular expression", () => {
    const flags = parseServeFlags(["--collector.cgroups.include=^/system"], {});
    expect(flags["collector.cgroups.include"]).toEqual(/^\/system/);
    expect(flags["collector.cgroups.exclude"]).toBeUndefined();
  });

  it("take a log file as the choice of source", () => {
    expect(parseServeFlags(["--kernel-log.file=/x"], {})["kernel-log.source"]).toBe("file");
    expect(complaint("--kernel-log.file=/x", "--kernel-log.source=kmsg")).toBe(
      "--kernel-log.file cannot be combined with --kernel-log.source=kmsg; use one of them",
    );
  });

  it("keep state in systemd's directory unless a flag is given", () => {
    const env = { STATE_DIRECTORY: "/var/lib/oom-exporter:/var/lib/other" };
    expect(parseServeFlags([], env)["state.directory"]).toBe("/var/lib/oom-exporter");
    expect(parseServeFlags(["--state.directory=/x"], env)["state.directory"]).toBe("/x");
    expect(parseServeFlags([], { STATE_DIRECTORY: "" })["state.directory"]).toBeUndefined();
  });

  it("know -h and --help", () => {
    expect(parseServeFlags(["-h"], {}).help).toBe(true);
    expect(parseServeFlags(["--help"], {}).help).toBe(true);
    expect(parseServeFlags([], {}).help).toBe(false);
  });
});

describe("wrong usage is refused in one line", () => {
  it.each([
    [
      ["--web.listen-adress", ":1"],
      "unknown flag --web.listen-adress; did you mean --web.listen-address?",
    ],
    [["--no-colector.log"], "unknown flag --no-colector.log; did you mean --no-collector.log?"],
    [["--no-path.procfs"], "unknown flag --no-path.procfs; did you mean --path.procfs?"],
    [["--nonsense"], "unknown flag --nonsense; see oom-exporter --help"],
    [["-x"], "unknown flag -x; see oom-exporter --help"],
    [["--__proto__=1"], "unknown flag --__proto__; see oom-exporter --help"],
    [["stray"], 'unexpected argument "stray"; see oom-exporter --help'],
    [["--log.level"], "--log.level needs a value"],
    [["--log.level", "--web.ui"], "--log.level needs a value"],
    [["--path.procfs="], "--path.procfs=: the value is empty"],
    [["--log.level=info", "--log.level=warn"], "--log.level is given twice"],
    [["--web.ui", "--no-web.ui"], "--web.ui is given twice"],
    [["--help=all"], '--help takes no value, but got "all"; use --help'],
    [["--web.ui=false"], '--web.ui takes no value, but got "false"; use --web.ui or --no-web.ui'],
    [["--log.level=loud"], "--log.level=loud: must be one of debug, info, warn, error"],
    [["--web.max-requests=many"], "--web.max-requests=many: must be a whole number, 0 or more"],
    [["--web.max-requests=-1"], "--web.max-requests=-1: must be a whole number, 0 or more"],
    [["--collector.cgroups.max=0"], "--collector.cgroups.max=0: must be a whole number, 1 or more"],
    [
      ["--web.listen-address=10137"],
      "--web.listen-address=10137: must be HOST:PORT, [IPV6]:PORT or :PORT, with a port up to 65535",
    ],
    [
      ["--web.telemetry-path=metrics"],
      "--web.telemetry-path=metrics: must be a path such as /metrics, of letters, digits and -._~/",
    ],
    [
      ["--web.telemetry-path=/api/v1/kills"],
      "--web.telemetry-path=/api/v1/kills: this path is reserved for other pages",
    ],
    [
      ["--web.telemetry-path=/-/ready"],
      "--web.telemetry-path=/-/ready: this path is reserved for other pages",
    ],
    [
      ["--web.external-url=oom.example.org"],
      "--web.external-url=oom.example.org: must be a URL such as https://monitoring.example.org/oom",
    ],
  ])("%j", (argv, line) => {
    expect(complaint(...argv)).toBe(line);
  });

  it("a regular expression that is none", () => {
    expect(complaint("--collector.cgroups.include=(")).toMatch(
      /^--collector\.cgroups\.include=\(: not a regular expression: /,
    );
  });
});

describe("a table of another command", () => {
  const table = {
    json: { type: "boolean", default: false, help: "Print JSON." },
    since: { type: "string", placeholder: "TIME", help: "Leave out what is older." },
  } as const satisfies FlagTable;

  it("leaves positionals to the command", () => {
    const { values, given, positionals } = parseFlags(table, ["a.log", "--json", "-", "--", "--b"]);
    expect(values).toEqual({ json: true, since: undefined });
    expect([...given]).toEqual(["json"]);
    expect(positionals).toEqual(["a.log", "-", "--b"]);
  });

  const ofExplain = {
    usage: "oom-exporter explain [FILE...]",
    about: "Explains each kill.",
    flags: table,
    exitCodes: { 0: "done", 2: "wrong usage" },
  };

  it("has its own help", () => {
    const help = helpText(ofExplain, 100);
    expect(help).toBe(
      [
        "usage: oom-exporter explain [FILE...]",
        "",
        "Explains each kill.",
        "",
        "Flags:",
        "      --[no-]json                   Print JSON.",
        "      --since=TIME                  Leave out what is older.",
        "",
        "Exit codes:",
        "  0  done",
        "  2  wrong usage",
        "",
      ].join("\n"),
    );
  });
});

describe.each([60, 80, 100, 200])("the help of serve in %i columns", (width) => {
  const lines = helpText(serveHelp, width).trimEnd().split("\n");
  const at = (word: string) => lines.findIndex((line) => line.includes(word));

  it("fits, and uses the room", () => {
    const longest = Math.max(...lines.map((line) => line.length));
    expect(longest).toBeLessThanOrEqual(width);
    expect(longest).toBeGreaterThan(width * 0.8);
  });

  it("names every flag, and every command on a line of its own", () => {
    for (const name of Object.keys(serveFlags)) expect(at(name)).toBeGreaterThan(0);
    for (const name of Object.keys(commandSummaries)) {
      expect(lines.filter((line) => line.startsWith(`  ${name} `))).toHaveLength(1);
    }
    expect(at("Commands:")).toBeLessThan(at("Flags:"));
  });

  it("says what an exit code means", () => {
    expect(at("  2  wrong usage")).toBeGreaterThan(at("Exit codes:"));
  });
});
