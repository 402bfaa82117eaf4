/** What is measured: the exporter, its peers from Debian, and floors that do nothing but read. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { debianTool } from "../../test/setup/debian-tools.ts";
import { MeasuredProcess } from "./measured-process.ts";
import { program } from "./programs.ts";
import type { CostOptions } from "./result.ts";

/** Something that is started, measured and stopped. */
export interface Contender {
  name: string;
  /** @param cgroups directory whose cgroups a floor reads */
  start(cgroups: string): MeasuredProcess;
}

/** A directory of this run's own. */
export const scratch = mkdtempSync(join(tmpdir(), "oom-exporter-bench-"));
process.once("exit", () => rmSync(scratch, { recursive: true, force: true }));

/** By process, so that two benches can run at once. */
let port = 20_000 + (process.pid % 1000) * 10;
let runs = 0;

/** An address of loopback that this run has not used yet. */
export function nextAddress(): string {
  return `127.0.0.1:${port++}`;
}

/** A new directory in `scratch`. */
export function scratchDirectory(): string {
  const path = join(scratch, `${runs++}`);
  mkdirSync(path);
  return path;
}

export interface ExporterOptions {
  /** The program and its first arguments, e.g. `["node", "dist/main.js"]`. */
  command: readonly string[];
  name?: string;
  flags?: readonly string[];
  stateDirectory?: string;
  /** Which cgroups it reports; by default the bench's own, not what else is on the machine. */
  cgroups?: string;
}

/** The exporter. */
export function exporter({
  command,
  name,
  flags = [],
  stateDirectory,
  cgroups = "^/oom-exporter-bench-",
}: ExporterOptions): Contender {
  return {
    name: name ?? "oom-exporter",
    start() {
      const address = nextAddress();
      return new MeasuredProcess({
        command: [
          ...command,
          `--web.listen-address=${address}`,
          `--state.directory=${stateDirectory ?? join(scratchDirectory(), "state")}`,
          "--log.level=warn",
          `--collector.cgroups.include=${cgroups}`,
          ...flags,
        ],
        url: `http://${address}/metrics`,
      });
    },
  };
}

/** What is to be measured and, where one is given, another build of it. */
export function exporters(
  { exporter: command, beside }: Pick<CostOptions, "exporter" | "beside">,
  flags: readonly string[],
): Contender[] {
  const measured = [exporter({ command, flags })];
  if (beside !== undefined) measured.push(exporter({ command: beside, name: "beside it", flags }));
  return measured;
}

/** A log file without kills, so that nothing of the machine's own log is measured. */
export function quietLog(): string {
  const path = join(scratchDirectory(), "kern.log");
  writeFileSync(path, "");
  return path;
}

/** The three collectors that say about the host what ours says. */
export async function nodeExporter(): Promise<Contender | undefined> {
  const { path } = await debianTool("prometheus-node-exporter", "usr/bin/prometheus-node-exporter");
  if (path === undefined) return undefined;
  const collectors = ["meminfo", "vmstat", "pressure"].map((name) => `--collector.${name}`);
  return {
    name: "node_exporter",
    start() {
      const address = nextAddress();
      return new MeasuredProcess({
        command: [
          path,
          "--collector.disable-defaults",
          ...collectors,
          `--web.listen-address=${address}`,
        ],
        url: `http://${address}/metrics`,
      });
    },
  };
}

/** Without threads, smaps and rechecks: the least that it can be asked for. */
export async function processExporter(): Promise<Contender | undefined> {
  const { path } = await debianTool(
    "prometheus-process-exporter",
    "usr/bin/prometheus-process-exporter",
  );
  if (path === undefined) return undefined;
  const configuration = join(scratch, "process-exporter.yml");
  writeFileSync(configuration, "process_names:\n  - name: '{{.ExeBase}}'\n    cmdline: ['.+']\n");
  return {
    name: "process-exporter, lean",
    start() {
      const address = nextAddress();
      return new MeasuredProcess({
        command: [
          path,
          ...["-config.path", configuration, "-threads=false", "-gather-smaps=false"],
          ...["-children=false", `-web.listen-address=${address}`],
        ],
        url: `http://${address}/metrics`,
      });
    },
  };
}

/** Counts kills in a log file. */
export async function mtail(log: string): Promise<Contender | undefined> {
  const { path } = await debianTool("mtail", "usr/bin/mtail");
  if (path === undefined) return undefined;
  return {
    name: "mtail",
    start() {
      const programs = scratchDirectory();
      writeFileSync(
        join(programs, "kills.mtail"),
        "counter kills\n/Killed process/ {\n  kills++\n}\n",
      );
      const address = nextAddress();
      return new MeasuredProcess({
        command: [
          path,
          ...["--progs", programs, "--logs", log, "--log_dir", programs],
          ...["--address", "127.0.0.1", "--port", address.replace(/.*:/, "")],
        ],
        url: `http://${address}/metrics`,
      });
    },
  };
}

/** Floors read the files of a scrape when they get a line, and print nothing of them. */
export const floors: readonly Contender[] = [
  {
    name: "C, descriptors kept",
    start: (cgroups) =>
      new MeasuredProcess({ command: [program("cost/floor.c"), "kept", cgroups] }),
  },
  {
    name: "C, open, read, close",
    start: (cgroups) =>
      new MeasuredProcess({ command: [program("cost/floor.c"), "open", cgroups] }),
  },
  {
    name: "Node.js, descriptors kept",
    start: (cgroups) =>
      new MeasuredProcess({
        command: [process.execPath, resolve("bench/cost/floor.mjs"), cgroups],
      }),
  },
];
