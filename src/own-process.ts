import { readdirSync, statSync } from "node:fs";
import type { SampleSink } from "./collectors/collector.ts";
import type { HostFiles } from "./sources/host-files.ts";
import { maxDescriptors } from "./sources/own-proc.ts";

/** What only the running process knows about itself; passed in by `main.ts`. */
export interface OwnProcess {
  version: string;
  revision: string;
  nodeVersion: string;
  startedMs: number;
  /** User and system time in seconds. */
  cpuSeconds(): number;
  /** Lines of its own log that could not be written. */
  lostLogLines(): number;
  memory(): { heapTotal: number; heapUsed: number; external: number };
}

/** How late an existing timer fires: a separate loop-delay monitor would wake the process ten times a second. */
export class LoopLag {
  readonly #everyMs: number;
  readonly #lagsMs: number[] = [];
  #lastMs: number | undefined;

  /** @param everyMs the timer's interval */
  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  /** Called by the timer, with the monotonic clock. */
  note(nowMs: number): void {
    const dueMs = (this.#lastMs ?? nowMs - this.#everyMs) + this.#everyMs;
    this.#lastMs = nowMs;
    this.#lagsMs.push(Math.max(0, nowMs - dueMs));
    if (this.#lagsMs.length > keptLags) this.#lagsMs.shift();
  }

  /** Since the last call, in seconds; 0 if the timer has not fired since. */
  take(): { p50: number; p99: number } {
    const sorted = this.#lagsMs.sort((a, b) => a - b);
    const quantile = (share: number) =>
      (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) / 1000;
    const lag = { p50: quantile(0.5), p99: quantile(0.99) };
    this.#lagsMs.length = 0;
    return lag;
  }
}

/** About four minutes, if nothing scrapes. */
const keptLags = 1000;

/** The samples about the exporter itself. `ownProc` reads the /proc of this process's own pid namespace. */
export function addOwnSamples(
  sink: SampleSink,
  own: OwnProcess,
  ownProc: HostFiles,
  refused: { requests: number; connections: number },
  lag: LoopLag,
): void {
  const { version, revision, nodeVersion: nodeversion } = own;
  sink.add("oom_exporter_build_info", 1, { version, revision, nodeversion });
  sink.add("oom_exporter_refused_requests_total", refused.requests, {});
  sink.add("oom_exporter_refused_connections_total", refused.connections, {});
  sink.add("oom_exporter_lost_log_lines_total", own.lostLogLines(), {});
  sink.add("process_cpu_seconds_total", own.cpuSeconds(), {});
  sink.add("process_start_time_seconds", own.startedMs / 1000, {});
  const memory = own.memory();
  sink.add("nodejs_heap_size_total_bytes", memory.heapTotal, {});
  sink.add("nodejs_heap_size_used_bytes", memory.heapUsed, {});
  sink.add("nodejs_external_memory_bytes", memory.external, {});
  const { p50, p99 } = lag.take();
  sink.add("nodejs_eventloop_lag_p50_seconds", p50, {});
  sink.add("nodejs_eventloop_lag_p99_seconds", p99, {});
  const status = ownProc.textIfReadable(ownProc.procfs("self", "status")) ?? "";
  const fields = [
    ["process_resident_memory_bytes", "VmRSS"],
    ["oom_exporter_anon_bytes", "RssAnon"],
  ] as const;
  for (const [metric, field] of fields) {
    const kilobytes = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1];
    if (kilobytes !== undefined) sink.add(metric, Number(kilobytes) * 1024, {});
  }
  const limit = maxDescriptors(ownProc);
  if (limit !== undefined) sink.add("process_max_fds", limit, {});
  sink.add("process_open_fds", openDescriptors(ownProc), {});
}

/** Since 6.2 the size of the directory is the number of descriptors; before, they are listed. */
function openDescriptors(ownProc: HostFiles): number {
  const directory = ownProc.procfs("self", "fd");
  const { size } = statSync(directory);
  // Minus the descriptor used for listing.
  return size > 0 ? size : readdirSync(directory).length - 1;
}
