/** Which programs outside the kernel would kill on this host, when and what, and which acts first. */

import type { memoryInUse } from "../kernel/meminfo.ts";
import { daemonNames, type FollowedKiller, followedKillers, placesOf } from "../killers/killer.ts";
import {
  type Amount,
  bytesOf,
  earlyoomLimits,
  firstOf,
  type KillerLimits,
  kubeletLimits,
  nohangLimits,
  oomdLimits,
} from "../killers/killer-limits.ts";
import {
  firstForSwap,
  type OomdCgroup,
  type OomdSettings,
  oomdSettings,
} from "../killers/oomd-rule.ts";
import type { HostFiles } from "../sources/host-files.ts";
import { installedKillers, isRunning } from "../sources/installed-killers.ts";
import {
  argumentsOf,
  type MayTakeLock,
  oomdConfigs,
  wordsOfVariable,
} from "../sources/killer-configs.ts";
import { UnitFiles } from "../sources/unit-files.ts";
import { bytes } from "../text/quantities.ts";
import { about } from "../text/times.ts";

export interface OtherKiller {
  limits: KillerLimits;
  isRunning: boolean;
  /** systemd-oomd only: what unit files tell it. */
  oomd?: OomdUnits;
}

interface OomdUnits {
  settingsOf: (unit: string) => OomdSettings;
  /** Units and templates below which it kills. */
  forSwap: readonly string[];
  /** The same, with the limit if the unit has one: `user@.service (50%)`. */
  forPressure: readonly string[];
}

export interface OtherKillersOptions {
  /** Default: always, for a command that reads once and may wait. */
  mayTakeLockOf?: MayTakeLock;
  /** The last result: what may not be read now is taken from there. */
  before?: readonly OtherKiller[];
}

/** Those on this host, with the limits of their configuration. */
export function otherKillers(files: HostFiles, options: OtherKillersOptions = {}): OtherKiller[] {
  return installedKillers(files, placesOf(followedKillers)).map((killer) => ({
    limits: limitsOf[killer](files, options),
    isRunning: isAnyRunning(files, killer),
    ...(killer === "systemd-oomd" && { oomd: oomdUnits(files) }),
  }));
}

function isAnyRunning(files: HostFiles, killer: FollowedKiller): boolean {
  return daemonNames[killer].units.some((unit) => isRunning(files, unit));
}

/** Whether it is installed or runs. */
export function isHere(files: HostFiles, killer: FollowedKiller): boolean {
  return installedKillers(files, placesOf([killer])).length > 0;
}

function oomdUnits(files: HostFiles): OomdUnits {
  const unitFiles = new UnitFiles(files);
  const known = new Map<string, OomdSettings>();
  const settingsOf = (unit: string): OomdSettings => {
    const settings = known.get(unit) ?? oomdSettings(unitFiles.textsOf(unit));
    known.set(unit, settings);
    return settings;
  };
  const all = [...unitFiles.units].sort().map((unit) => ({ unit, ...settingsOf(unit) }));
  return {
    settingsOf,
    forSwap: all.filter(({ killsForSwap }) => killsForSwap).map(({ unit }) => unit),
    forPressure: all
      .filter(({ killsForPressure }) => killsForPressure)
      .map(({ unit, pressureLimit }) =>
        pressureLimit === undefined ? unit : `${unit} (${pressureLimit})`,
      ),
  };
}

const limitsOf: Record<
  FollowedKiller,
  (files: HostFiles, options: OtherKillersOptions) => KillerLimits
> = {
  earlyoom: (files, { mayTakeLockOf, before = [] }) => {
    const words = argumentsOf(files, "earlyoom.service", mayTakeLockOf);
    const known = before.find(({ limits }) => limits.killer === "earlyoom")?.limits;
    if (words === undefined && known !== undefined && isAnyRunning(files, "earlyoom")) return known;
    return earlyoomLimits(
      words ?? wordsOfVariable(textAt(files, "etc/default/earlyoom"), "EARLYOOM_ARGS"),
    );
  },
  nohang: (files) => {
    const isDesktop = isRunning(files, "nohang-desktop.service");
    const name = isDesktop ? "nohang-desktop.conf" : "nohang.conf";
    return nohangLimits(textAt(files, `etc/nohang/${name}`));
  },
  "systemd-oomd": (files) => oomdLimits(oomdConfigs(files)),
  kubelet: (files) => kubeletLimits(textAt(files, "var/lib/kubelet/config.yaml")),
};

function textAt(files: HostFiles, path: string): string {
  return files.textIfReadable(files.rootfs(path)) ?? "";
}

/** `acts at 10 % of memory available and 10 % of swap free`. */
export function actsAt({ limits, oomd }: OtherKiller): string {
  const { memoryAvailable, swapFree, pressure, isDryRun } = limits;
  if (isDryRun) return "kills nothing: it runs with --dryrun";
  const parts: string[] = [];
  if (memoryAvailable !== undefined && oomd?.forSwap.length !== 0) {
    const swap = swapFree === undefined ? "" : ` and ${amountText(swapFree)} of swap free`;
    const where = below(oomd?.forSwap);
    parts.push(`at ${amountText(memoryAvailable)} of memory available${swap}${where}`);
  }
  if (pressure !== undefined && oomd?.forPressure.length !== 0) {
    const where = below(oomd?.forPressure);
    parts.push(`at memory pressure above ${pressure.percent} % for ${pressure.duration}${where}`);
  }
  if (parts.length > 0) return `acts ${parts.join(", and ")}`;
  return oomd === undefined
    ? "has unknown limits"
    : "kills nothing: no unit of the system has ManagedOOMSwap=kill or ManagedOOMMemoryPressure=kill";
}

const unitsShown = 3;

function below(units: readonly string[] | undefined): string {
  if (units === undefined) return "";
  const more = units.length - unitsShown;
  const others = more > 0 ? ` and ${more} more units` : "";
  return ` below ${units.slice(0, unitsShown).join(", ")}${others}`;
}

function amountText({ percent, bytes: size }: Amount): string {
  const parts = [
    ...(percent === undefined ? [] : [`${Number(percent.toFixed(2))} %`]),
    ...(size === undefined ? [] : [bytes(size)]),
  ];
  return parts.length > 1 ? `the lower of ${parts.join(" and ")}` : parts.join("");
}

type MemoryInUse = ReturnType<typeof memoryInUse>;
/** Of the host, as just read. */
export type MemoryNow = Pick<
  MemoryInUse,
  "totalBytes" | "availableBytes" | "swapTotalBytes" | "swapFreeBytes"
>;

interface KillerProcess {
  pid: number;
  comm: string;
  score: number;
  scoreAdj: number;
  memory: { residentBytes: number };
}

/** A killer outside the kernel that acts on available memory, and what it takes. */
export interface NextOther {
  killer: FollowedKiller;
  /** `acts at 10 % of memory available and 10 % of swap free`. */
  actsAt: string;
  /** At this much available memory. */
  atBytes: number;
  /** False while more swap is free than it waits for. */
  swapAllows: boolean;
  pid: number | null;
  comm: string | null;
  /** systemd-oomd kills a whole cgroup: this one, if any uses enough swap. */
  cgroup: string | null;
}

/** The host, as just read. */
export interface HostNow {
  memory: MemoryNow;
  /** All of them. */
  processes: readonly KillerProcess[];
  cgroups: readonly { path: string; swapCurrentBytes?: number }[];
  files: HostFiles;
}

/** Killers that run here and act on available memory, in the order in which they act. The kernel acts last, at 0. */
export function nextOthers(killers: readonly OtherKiller[], now: HostNow): NextOther[] {
  const { memory, processes } = now;
  const acting = killers.filter(
    ({ isRunning, limits, oomd }) =>
      isRunning && limits.memoryAvailable !== undefined && oomd?.forSwap.length !== 0,
  );
  if (acting.length === 0) return [];
  const candidates = processes.map(({ memory: { residentBytes }, ...process }) => ({
    ...process,
    residentBytes,
  }));
  return acting
    .map((one) => {
      const { limits, oomd } = one;
      const { killer, memoryAvailable, swapFree } = limits;
      const victim = firstOf(candidates, limits);
      return {
        killer,
        actsAt: actsAt(one),
        atBytes: Math.round(bytesOf(memoryAvailable as Amount, memory.totalBytes)),
        swapAllows:
          swapFree === undefined ||
          memory.swapFreeBytes <= bytesOf(swapFree, memory.swapTotalBytes),
        pid: victim?.pid ?? null,
        comm: victim?.comm ?? null,
        cgroup: (oomd && oomdFirst(oomd, now)?.path) ?? null,
      };
    })
    .sort((a, b) => b.atBytes - a.atBytes);
}

function oomdFirst({ settingsOf }: OomdUnits, now: HostNow): OomdCgroup | null | undefined {
  const { memory, cgroups, files } = now;
  return firstForSwap({
    cgroups: cgroups.map(({ path, swapCurrentBytes = 0 }) => ({
      path,
      swapBytes: swapCurrentBytes,
    })),
    swapTotalBytes: memory.swapTotalBytes,
    settingsOf,
    isKilledAsGroup: (path) =>
      files.textIfReadable(files.sysfs("fs/cgroup", path, "memory.oom.group"))?.trim() === "1",
  });
}

/**
 * `earlyoom acts at 10 % of memory available ..., the kernel at 0: with 12 % left earlyoom kills firefox
 * (pid 4211) in about 4 minutes.` Nothing if no other killer acts on available memory.
 *
 * @param secondsLeft until memory and swap are used up, if known
 */
export function firstToAct(
  [first]: readonly NextOther[],
  { availableBytes, totalBytes }: MemoryNow,
  secondsLeft?: number,
): string | undefined {
  if (first === undefined) return undefined;
  const left = `${Math.round((availableBytes / totalBytes) * 100)} %`;
  const whom = first.pid === null ? "a process" : `${first.comm} (pid ${first.pid})`;
  const kills =
    first.killer === "kubelet"
      ? "evicts a pod"
      : first.killer === "systemd-oomd"
        ? `kills ${first.cgroup ?? "the cgroup with the most swap"}`
        : `kills ${whom}`;
  const share = (availableBytes - first.atBytes) / availableBytes;
  const when =
    share <= 0
      ? " at any moment"
      : secondsLeft === undefined
        ? " first"
        : ` in ${about(secondsLeft * share)}`;
  const swap = first.swapAllows ? "" : ", once swap is used up as far";
  return `${first.killer} ${first.actsAt}, the kernel at 0: with ${left} left ${first.killer} ${kills}${when}${swap}.`;
}
