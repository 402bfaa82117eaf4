import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TimeLeft, timeLeft } from "../../src/status/time-left.ts";
import type { RecordedSeries } from "./recorded-series.ts";

/** What one minute of a recording led to. */
export interface Minute {
  atSeconds: number;
  /** Alerts that fire, as `alertname severity`. */
  firing: readonly string[];
  /** Seconds left, by the recording rule that says so. */
  forecasts: Readonly<Record<string, number>>;
  /** What the exporter's own page says. */
  page: TimeLeft;
}

const lookMs = 15_000;
const said = '{__name__=~"ALERTS|.+:oom_.*time_left_.+:seconds"}';

const cgroupMetrics = {
  current: "oom_cgroup_memory_current_bytes",
  file: "oom_cgroup_memory_file_bytes",
  shmem: "oom_cgroup_memory_shmem_bytes",
};
const hostMetrics = {
  total: "oom_host_memory_total_bytes",
  available: "oom_host_memory_available_bytes",
  swap_total: "oom_host_swap_total_bytes",
  swap_free: "oom_host_swap_free_bytes",
};

/**
 * Runs the rule files over recordings, as Prometheus would have while they were made, and the model of
 * the exporter's page beside them.
 *
 * The rules are evaluated by promtool, minute by minute. It has no command that prints what rules
 * yield, but it prints what a test got where that is not what the test expects: so nothing is expected.
 *
 * @returns each recording's minutes, by name
 */
export async function backTest(
  promtool: string,
  ruleFiles: readonly string[],
  recordings: readonly RecordedSeries[],
): Promise<Map<string, Minute[]>> {
  const minutes = Math.max(...recordings.map(({ seconds }) => (seconds.at(-1) ?? 0) / 60));
  const output = await promtoolTest(promtool, {
    rule_files: ruleFiles,
    // Of the groups whose series the trends are worked out from.
    evaluation_interval: "30s",
    group_eval_order: [
      ...["oom-thresholds", "oom-host", "oom-cgroup", "oom-trend", "oom-day"],
      ...["oom-host-states", "oom-cgroup-states"],
    ],
    tests: [
      {
        interval: "15s",
        input_series: recordings.flatMap(inputSeries),
        promql_expr_test: Array.from({ length: Math.floor(minutes) }, (_, minute) => ({
          expr: said,
          eval_time: `${minute + 1}m`,
        })),
      },
    ],
  });
  const samplesAt = samplesIn(output);
  return new Map(
    recordings.map((recording) => {
      const last = recording.seconds.at(-1) ?? 0;
      const course = Array.from({ length: Math.floor(last / 60) }, (_, minute): Minute => {
        const atSeconds = 60 * (minute + 1);
        const samples = (samplesAt.get(atSeconds) ?? []).filter(
          ({ labels }) => labels.recording === recording.name,
        );
        return {
          atSeconds,
          firing: samples
            .filter(({ labels }) => labels.alertstate === "firing")
            .map(({ labels }) => `${labels.alertname} ${labels.severity}`),
          forecasts: Object.fromEntries(
            samples
              .filter(({ labels }) => labels.__name__ !== "ALERTS")
              .map(({ labels, value }) => [labels.__name__, value]),
          ),
          page: pageForecast(recording, atSeconds),
        };
      });
      return [recording.name, course];
    }),
  );
}

function inputSeries({ name, limitBytes, seconds, columns }: RecordedSeries): object[] {
  const labels = `{recording="${name}", instance="${limitBytes === undefined ? name : "host"}", cgroup="/${name}"}`;
  const series = Object.entries(limitBytes === undefined ? hostMetrics : cgroupMetrics).map(
    ([column, metric]) => ({
      series: `${metric}${labels}`,
      values: values(seconds, columns[column] ?? []),
    }),
  );
  if (limitBytes === undefined) return series;
  const limit = seconds.map(() => limitBytes);
  return [
    ...series,
    { series: `oom_cgroup_memory_max_bytes${labels}`, values: values(seconds, limit) },
  ];
}

/** promtool's notation: one value for each look from 0 on, `_` for a look that was missed. */
function values(seconds: readonly number[], column: readonly number[]): string {
  const bySlot: string[] = [];
  seconds.forEach((at, index) => {
    const value = column[index] ?? Number.NaN;
    if (!Number.isNaN(value)) bySlot[Math.round((at * 1000) / lookMs)] = `${value}`;
  });
  return Array.from(bySlot, (value) => value ?? "_").join(" ");
}

/** By the same figures, as the page would have said at that moment. */
function pageForecast(recording: RecordedSeries, atSeconds: number): TimeLeft {
  const { limitBytes, seconds, columns } = recording;
  const at = (column: string, index: number): number => columns[column]?.[index] ?? Number.NaN;
  const capacity = (index: number): number =>
    limitBytes ?? at("total", index) + at("swap_total", index);
  const used = (index: number): number =>
    limitBytes === undefined
      ? capacity(index) - at("available", index) - at("swap_free", index)
      : Math.max(0, at("current", index) - at("file", index) + at("shmem", index));
  const points = seconds
    .map((second, index) => ({ atMs: second * 1000, usedBytes: used(index) }))
    .filter(({ atMs, usedBytes }) => atMs <= atSeconds * 1000 && !Number.isNaN(usedBytes));
  const nowMs = atSeconds * 1000;
  return timeLeft(
    points.filter(({ atMs }) => atMs >= nowMs - 3_600_000),
    capacity(points.length - 1),
    nowMs,
  );
}

async function promtoolTest(promtool: string, test: object): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "oom-exporter-back-test-"));
  try {
    const file = join(directory, "test.yml");
    await writeFile(file, JSON.stringify(test));
    return await new Promise((resolve, reject) => {
      const options = { maxBuffer: 1 << 28 };
      execFile(promtool, ["test", "rules", file], options, (_error, stdout, stderr) => {
        const output = stdout + stderr;
        if (/FAILED|SUCCESS/.test(output) && !/parse|unmarshal/.test(output)) resolve(output);
        else reject(new Error(output));
      });
    });
  } finally {
    await rm(directory, { recursive: true });
  }
}

interface Sample {
  labels: Record<string, string>;
  value: number;
}

/** The samples that promtool got, by the second of the evaluation. */
function samplesIn(output: string): Map<number, Sample[]> {
  const samplesAt = new Map<number, Sample[]>();
  for (const [, time = "", got = ""] of output.matchAll(
    /time: (\S+),\s+exp:\s*\S+\s+got:\s*(.*)/g,
  )) {
    const samples = [...got.matchAll(/\{([^}]*)\} ([^\s,]+)/g)].map(([, labels = "", value]) => ({
      labels: Object.fromEntries(
        [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key, text]),
      ),
      value: Number(value),
    }));
    samplesAt.set(secondsOf(time), samples);
  }
  return samplesAt;
}

/** Of a duration such as `1d1h10m`. */
function secondsOf(duration: string): number {
  const unit: Record<string, number> = { d: 86_400, h: 3600, m: 60, s: 1 };
  return [...duration.matchAll(/(\d+)([dhms])/g)].reduce(
    (sum, [, count, of = ""]) => sum + Number(count) * (unit[of] ?? 0),
    0,
  );
}
