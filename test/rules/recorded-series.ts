import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

/** What `bench/record-series` recorded of one cgroup, or of one host. */
export interface RecordedSeries {
  name: string;
  /** What it is, in a sentence. */
  what: string;
  /** Of the cgroup; a host has none. */
  limitBytes?: number;
  /** Of each look, since the recording began. */
  seconds: readonly number[];
  /** Bytes by column, `NaN` for a missing reading. */
  columns: Readonly<Record<string, readonly number[]>>;
  killedAtSeconds: readonly number[];
  /** Left alone it reaches its limit sooner or later, so even an early alert is correct. */
  runsOut: boolean;
}

export const recordingsDirectory = fileURLToPath(new URL("../fixtures/series/", import.meta.url));

/** All recordings of a directory, by name. */
export function readRecordings(directory: string): RecordedSeries[] {
  return readdirSync(directory)
    .filter((file) => file.endsWith(".csv"))
    .sort()
    .map((file) => parse(basename(file, ".csv"), readFileSync(join(directory, file), "utf8")));
}

function parse(name: string, text: string): RecordedSeries {
  const lines = text.trimEnd().split("\n");
  const comments = lines.filter((line) => line.startsWith("# ")).map((line) => line.slice(2));
  const [header = "", ...rows] = lines.filter((line) => !line.startsWith("#"));
  const [, ...names] = header.split(",");
  const cells = rows.map((row) => row.split(","));
  const limit = /limit:? (\d+) MiB/.exec(text)?.[1];
  const killed = /killed at seconds: (.*)/.exec(text)?.[1] ?? "";
  return {
    name,
    what: comments[0] ?? "",
    limitBytes: limit === undefined ? undefined : Number(limit) * 2 ** 20,
    seconds: cells.map(([seconds]) => Number(seconds)),
    columns: Object.fromEntries(
      names.map((column, index) => [
        column,
        cells.map((row) => (row[index + 1] === "" ? Number.NaN : Number(row[index + 1]) * 1024)),
      ]),
    ),
    runsOut: text.includes("# runs out: yes"),
    killedAtSeconds: [...killed.matchAll(/\d+/g)].map(Number),
  };
}
