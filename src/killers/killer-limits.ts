/**
 * When a killer outside the kernel acts, and which process it takes, from its configuration.
 *
 *   earlyoom     its command line: -m PERCENT[,KILL] -M KIB[,KILL] -s PERCENT[,KILL] -S KIB[,KILL]
 *                --prefer REGEX --avoid REGEX --ignore REGEX --sort-by-rss --ignore-root-user --dryrun;
 *                10 % of each by default
 *   nohang       /etc/nohang/nohang.conf: soft_threshold_min_mem = 5 %, soft_threshold_min_swap = 10 %,
 *                psi_checking_enabled, soft_threshold_max_psi, `@BADNESS_ADJ_RE_NAME 300 /// ^hog$`
 *   systemd-oomd oomd.conf and drop-ins: SwapUsedLimit=90%, DefaultMemoryPressureLimit=60%,
 *                DefaultMemoryPressureDurationSec=30s
 *   kubelet      /var/lib/kubelet/config.yaml: evictionHard: memory.available: 100Mi
 */
import type { FollowedKiller } from "./killer.ts";

/** A share of a whole in percent, a number of bytes, or the lower of the two. */
export type Amount =
  | { percent: number; bytes?: undefined }
  | { percent?: undefined; bytes: number }
  | { percent: number; bytes: number };

/** How a killer changes the order of the kernel's scores; names are comm. */
export interface RankingRule {
  /** Added to the score of names that match; the sum of all that match counts. */
  byName: readonly { adjustment: number; pattern: RegExp }[];
  /** Names that are never taken. */
  never?: RegExp;
  /** A positive oom_score_adj is taken off the score. */
  ignoresPositiveAdj: boolean;
}

export interface KillerLimits {
  killer: FollowedKiller;
  /** It only says what it would kill: no limit counts. */
  isDryRun?: true;
  /** It acts at or below this much available memory... */
  memoryAvailable?: Amount;
  /** ...if no more than this much swap is free; absent: whatever swap is free. */
  swapFree?: Amount;
  /** It acts on memory pressure above this, in percent, for so long. */
  pressure?: { percent: number; duration: string };
  /** How it ranks processes; absent where it takes no process, or its rules cannot be followed here. */
  ranking?: RankingRule;
}

const preferred = 300;
const kibibyte = 1024;

/** Arguments of earlyoom that rank by what this program does not follow; `-i` has no effect since 1.7. */
const otherRanking = ["--sort-by-rss", "--ignore-root-user", "-i"];

/** @param words the arguments of earlyoom, without its own name. */
export function earlyoomLimits(words: readonly string[]): KillerLimits {
  if (words.includes("--dryrun")) return { killer: "earlyoom", isDryRun: true };
  const amounts: Partial<Record<string, Amount>> = {};
  const patterns: Partial<Record<string, string>> = {};
  const set = (name: string, amount: Amount): void => {
    amounts[name] = { ...amounts[name], ...amount };
  };
  for (let at = 0; at < words.length; at++) {
    const word = words[at] as string;
    const [, name = "", attached] =
      /^(-[mMsS])(.+)?$/.exec(word) ?? /^(--(?:prefer|avoid|ignore))(?:=(.*))?$/s.exec(word) ?? [];
    if (name === "") continue;
    const value = attached ?? words[++at] ?? "";
    const number = Number.parseFloat(value);
    if (name.startsWith("--")) patterns[name] = value;
    else if (Number.isNaN(number)) continue;
    else if (name === "-m" || name === "-s") set(name, { percent: number });
    else set(name.toLowerCase(), { bytes: number * kibibyte });
  }
  return {
    killer: "earlyoom",
    memoryAvailable: amounts["-m"] ?? { percent: 10 },
    swapFree: amounts["-s"] ?? { percent: 10 },
    ranking: words.some((word) => otherRanking.includes(word))
      ? undefined
      : rankingOf(
          [
            [preferred, patterns["--prefer"]],
            [-preferred, patterns["--avoid"]],
          ],
          { never: patterns["--ignore"], ignoresPositiveAdj: false },
        ),
  };
}

/** Settings of nohang.conf that change the ranking and that this program does not follow. */
const otherRules = /^@BADNESS_ADJ_RE_(?!NAME\b)/m;

export function nohangLimits(config: string): KillerLimits {
  const setting = (name: string): string | undefined =>
    new RegExp(`^[ \\t]*${name}[ \\t]*=[ \\t]*(.*?)[ \\t]*$`, "m").exec(config)?.[1];
  const byName = [
    ...config.matchAll(/^@BADNESS_ADJ_RE_NAME[ \t]+(-?\d{1,4})[ \t]*\/\/\/[ \t]*(.+?)[ \t]*$/gm),
  ];
  const psi = Number(setting("soft_threshold_max_psi"));
  return {
    killer: "nohang",
    memoryAvailable: amountOf(setting("soft_threshold_min_mem")) ?? { percent: 5 },
    swapFree: amountOf(setting("soft_threshold_min_swap")) ?? { percent: 10 },
    pressure:
      setting("psi_checking_enabled") === "True" && psi > 0
        ? { percent: psi, duration: `${setting("psi_excess_duration") ?? "30"}s` }
        : undefined,
    ranking: otherRules.test(config)
      ? undefined
      : rankingOf(
          byName.map(([, adjustment, pattern]) => [Number(adjustment), pattern] as const),
          { ignoresPositiveAdj: setting("ignore_positive_oom_score_adj") === "True" },
        ),
  };
}

/** The value of `NAME=VALUE` in files that override each other: the last one counts. */
export function lastSetting(texts: readonly string[], name: string): string | undefined {
  const line = new RegExp(`^[ \\t]*${name}[ \\t]*=[ \\t]*(.*?)[ \\t]*$`, "gm");
  return texts.flatMap((text) => [...text.matchAll(line)]).at(-1)?.[1];
}

/** @param configs oomd.conf and its drop-ins; the last that sets a value counts. */
export function oomdLimits(configs: readonly string[]): KillerLimits {
  const share = (name: string): number | undefined => shareOf(lastSetting(configs, name) ?? "");
  const unusedPercent = 100 - (share("SwapUsedLimit") ?? 90);
  return {
    killer: "systemd-oomd",
    memoryAvailable: { percent: unusedPercent },
    swapFree: { percent: unusedPercent },
    pressure: {
      percent: share("DefaultMemoryPressureLimit") ?? 60,
      duration: lastSetting(configs, "DefaultMemoryPressureDurationSec") || "30s",
    },
  };
}

/** `90%`, `900‰` or `9000‱` in percent, parse_permyriad() of systemd; `undefined` for what systemd ignores. */
function shareOf(text: string): number | undefined {
  const [, number, sign] = /^(\d+(?:\.\d{1,2})?)(%|\u2030|\u2031)$/.exec(text) ?? [];
  const percent = Number(number) / (sign === "\u2031" ? 100 : sign === "\u2030" ? 10 : 1);
  return percent <= 100 ? percent : undefined;
}

const quantityUnits: Record<string, number> = {
  "": 1,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  k: 1e3,
  M: 1e6,
  G: 1e9,
};

/** `evictionHard` replaces the default as a whole: without `memory.available` nothing is evicted for memory. */
export function kubeletLimits(config: string): KillerLimits {
  const hard = /^evictionHard:(.*\n?(?:[ \t]+.*\n?)*)/m.exec(config)?.[1];
  const keepsDefault =
    hard === undefined || /^mergeDefaultEvictionSettings:[ \t]*true\b/m.test(config);
  const value =
    /memory\.available["']?:[ \t]*["']?([^"'\s,}]+)/.exec(hard ?? "")?.[1] ??
    (keepsDefault ? "100Mi" : "");
  const [, number = "", unit = ""] = /^([\d.]+)(%|[KMG]i|[kMG]|)$/.exec(value) ?? [];
  const amount =
    unit === "%"
      ? { percent: Number(number) }
      : { bytes: Number(number) * (quantityUnits[unit] ?? 1) };
  return { killer: "kubelet", memoryAvailable: number === "" ? undefined : amount };
}

/** `5 %` or `200 M`. */
function amountOf(text: string | undefined): Amount | undefined {
  const [, number, unit] = /^([\d.]+) *([%M])$/.exec(text ?? "") ?? [];
  if (number === undefined) return undefined;
  return unit === "%" ? { percent: Number(number) } : { bytes: Number(number) * 2 ** 20 };
}

/**
 * The daemons' patterns are POSIX's or Python's. One that JavaScript does not know makes the rule unknown; without `u`
 * JavaScript would take `[[:alpha:]]`, `\<` or `\A` for something else.
 */
function rankingOf(
  byName: readonly (readonly [adjustment: number, pattern: string | undefined])[],
  { never, ignoresPositiveAdj }: { never?: string; ignoresPositiveAdj: boolean },
): RankingRule | undefined {
  try {
    return {
      byName: byName.flatMap(([adjustment, pattern]) =>
        pattern === undefined ? [] : [{ adjustment, pattern: new RegExp(pattern, "u") }],
      ),
      never: never === undefined ? undefined : new RegExp(never, "u"),
      ignoresPositiveAdj,
    };
  } catch {
    return undefined;
  }
}

export interface Candidate {
  pid: number;
  comm: string;
  score: number;
  scoreAdj: number;
  residentBytes: number;
}

/** The process that the killer would take by its own rule; `undefined` if it would take none or its rule is not known. */
export function firstOf<Process extends Candidate>(
  processes: readonly Process[],
  { ranking }: KillerLimits,
): Process | undefined {
  if (ranking === undefined) return undefined;
  const badness = ({ comm, score, scoreAdj }: Process): number => {
    const adjustment = ranking.byName
      .filter(({ pattern }) => pattern.test(comm))
      .reduce((sum, rule) => sum + rule.adjustment, 0);
    return score - (ranking.ignoresPositiveAdj ? Math.max(0, scoreAdj) : 0) + adjustment;
  };
  return processes
    .filter(({ pid, comm }) => pid !== 1 && ranking.never?.test(comm) !== true)
    .map((process) => ({ process, badness: badness(process) }))
    .sort((a, b) => b.badness - a.badness || b.process.residentBytes - a.process.residentBytes)
    .find((candidate) => candidate.badness > 0)?.process;
}

/** An amount of a whole in bytes. */
export function bytesOf({ percent, bytes }: Amount, wholeBytes: number): number {
  return Math.min(
    percent === undefined ? Number.POSITIVE_INFINITY : (percent / 100) * wholeBytes,
    bytes ?? Number.POSITIVE_INFINITY,
  );
}
