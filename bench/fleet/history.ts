/**
 * What a Prometheus that has run for a while already holds: the recordings whose past the rules read. Without
 * them every cgroup would be new, and ranges all but empty.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { courseOfCgroups, namesOfHost } from "./played-hosts.ts";

/** One cgroup with a limit of its own, as the exporter showed it. */
interface Limited {
  /** As in the exposition, braces not included. */
  labels: string;
  unreclaimableBytes: number;
  currentBytes: number;
  limitBytes: number;
}

export interface HistoryOptions {
  template: string;
  hosts: number;
  minutes: number;
  /** Seconds since the epoch at which the fleet begins to be played. */
  startSeconds: number;
  /** Text of the rule files: only recordings that they make are written. */
  rules: string;
}

/** Recordings with a past, and whether only cgroups with a limit in sight have them. */
const recordings = [
  ["cgroup:oom_memory_unreclaimable:bytes", false],
  ["cgroup:oom_memory_unreclaimable_bytes:max15m", false],
  ["cgroup:oom_memory_unreclaimable_bytes:max1d", false],
  ["cgroup:oom_memory_in_sight_bytes:max15m", true],
  ["cgroup:oom_memory_in_sight:bytes", true],
  ["cgroup:oom_memory_in_sight_bytes:max1d", true],
] as const;

/** Writes OpenMetrics for `promtool tsdb create-blocks-from openmetrics`, a sample a minute. */
export function writeHistory(path: string, options: HistoryOptions): void {
  const { template, hosts, minutes, startSeconds, rules } = options;
  const limited = limitedCgroups(template);
  const fd = openSync(path, "w");
  try {
    for (const [name, isInSight] of recordings) {
      if (!rules.includes(`record: ${name}\n`)) continue;
      for (let host = 0; host < hosts; host++) {
        const courses = courseOfCgroups(template, host);
        const rename = namesOfHost(host);
        for (const { labels, unreclaimableBytes, currentBytes, limitBytes } of limited) {
          const at = (seconds: number) =>
            unreclaimableBytes + currentBytes * ((courses.get(`{${labels}}`)?.(seconds) ?? 1) - 1);
          if (isInSight && at(0) < limitBytes / 2) continue;
          const series = `${name}{job="oom-exporter",instance="host-${host}:10137",${rename(labels)}}`;
          let text = "";
          for (let minute = minutes; minute > 0; minute--) {
            const value = Math.round(at(-minute * 60));
            text += `${series} ${value} ${startSeconds - minute * 60}\n`;
          }
          writeSync(fd, text);
        }
      }
    }
    writeSync(fd, "# EOF\n");
  } finally {
    closeSync(fd);
  }
}

function limitedCgroups(template: string): Limited[] {
  const values = new Map<string, Map<string, number>>();
  const lines = template.matchAll(/^oom_cgroup_memory_(\w+)_bytes\{(.*)\} (\S+)$/gm);
  for (const [, metric = "", labels = "", value] of lines) {
    const known = values.get(labels) ?? new Map<string, number>();
    known.set(metric, Number(value));
    values.set(labels, known);
  }
  return [...values].flatMap(([labels, of]) => {
    const limitBytes = of.get("max") ?? Number.POSITIVE_INFINITY;
    if (!Number.isFinite(limitBytes)) return [];
    const bytes = (metric: string) => of.get(metric) ?? 0;
    const unreclaimableBytes = bytes("current") - bytes("file") + bytes("shmem");
    return [{ labels, unreclaimableBytes, currentBytes: bytes("current"), limitBytes }];
  });
}
