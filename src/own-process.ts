import { readdirSync } from "node:fs";
import type { SampleSink } from "./collectors/collector.ts";
import type { HostFiles } from "./sources/host-files.ts";
import { maxDescriptors } from "./sources/own-proc.ts";

/** What only the running process knows of itself; handed in by `main.ts`. */
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
  /** Delay of the event loop since it was last asked, in nanoseconds. */
  eventLoopDelay(): { p50: number; p99: number };
}

/** The samples about the exporter itself. `ownProc` reads the /proc this process lives in. */
export function addOwnSamples(
  sink: SampleSink,
  own: OwnProcess,
  ownProc: HostFiles,
  refused: { requests: number; connections: number },
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
  const delay = own.eventLoopDelay();
  sink.add("nodejs_eventloop_lag_p50_seconds", delay.p50 / 1e9, {});
  sink.add("nodejs_eventloop_lag_p99_seconds", delay.p99 / 1e9, {});
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
  // Less the one that lists them.
  const open = readdirSync(ownProc.procfs("self", "fd")).length - 1;
  sink.add("process_open_fds", open, {});
}
