/** Which programs outside the kernel would kill on this host, when, whom, and who acts first. */

import type { memoryInUse } from "../kernel/meminfo.ts";
import { daemonNames, type FollowedKiller, followedKillers } from "../killers/killer.ts";
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
import type { HostFiles } from "../sources/host-files.ts";
import { installedKillers, isRunning } from "../sources/installed-killers.ts";
import { argumentsOf, oomdConfigs, wordsOfVariable } from "../sources/killer-configs.ts";
import { bytes } from "../text/quantities.ts";
import { about } from "../text/times.ts";

export interface OtherKiller {
  limits: KillerLimits;
  isRunning: boolean;
}

/** Those on this host, with the limits of their configuration. */
export function otherKillers(files: HostFiles): OtherKiller[] {
  const places = followedKillers.map((name) => ({ name, ...daemonNames[name] }));
  return installedKillers(files, places).map((killer) => ({
    limits: limitsOf[killer](files),
    isRunning: daemonNames[killer].units.some((unit) => isRunning(files, unit)),
  }));
}

const limitsOf: Record<FollowedKiller, (files: HostFiles) => KillerLimits> = {
  earlyoom: (files) =>
    earlyoomLimits(
      argumentsOf(files, "earlyoom.service") ??
        wordsOfVariable(
          files.textIfReadable(files.rootfs("etc/default/earlyoom")) ?? "",
          "EARLYOOM_ARGS",
        ),
    ),
  nohang: (files) => {
    const isDesktop = isRunning(files, "nohang-desktop.service");
    const name = isDesktop ? "nohang-desktop.conf" : "nohang.conf";
    return nohangLimits(files.textIfReadable(files.rootfs(`etc/nohang/${name}`)) ?? "");
  },
  "systemd-oomd": (files) => oomdLimits(oomdConfigs(files)),
  kubelet: (files) =>
    kubeletLimits(files.textIfReadable(files.rootfs("var/lib/kubelet/config.yaml")) ?? ""),
};

/** `acts at 10 % of memory available and 10 % of swap free`. */
export function actsAt({ killer, memoryAvailable, swapFree, pressure }: KillerLimits): string {
  const parts: string[] = [];
  if (memoryAvailable !== undefined) {
    const swap = swapFree === undefined ? "" : ` and ${amountText(swapFree)} of swap free`;
    const where = killer === "systemd-oomd" ? " (units with ManagedOOMSwap=kill)" : "";
    parts.push(`at ${amountText(memoryAvailable)} of memory available${swap}${where}`);
  }
  if (pressure !== undefined) {
    const where = killer === "systemd-oomd" ? " (units with ManagedOOMMemoryPressure=kill)" : "";
    parts.push(`at memory pressure above ${pressure.percent} % for ${pressure.duration}${where}`);
  }
  return parts.length === 0 ? "limits unknown" : `acts ${parts.join(", and ")}`;
}

function amountText(amount: Amount): string {
  return "bytes" in amount ? bytes(amount.bytes) : `${Number(amount.percent.toFixed(2))} %`;
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

/** Who outside the kernel acts next on available memory, and whom it takes. */
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
}

/**
 * Of the killers that run here those that act on available memory, the one that acts first at the front:
 * the one with the highest limit. The kernel comes last, at 0.
 *
 * @param processes all of the host, as just read
 */
export function nextOthers(
  killers: readonly OtherKiller[],
  memory: MemoryNow,
  processes: readonly KillerProcess[],
): NextOther[] {
  const acting = killers.filter(
    ({ isRunning, limits }) => isRunning && limits.memoryAvailable !== undefined,
  );
  if (acting.length === 0) return [];
  const candidates = processes.map(({ memory: { residentBytes }, ...process }) => ({
    ...process,
    residentBytes,
  }));
  return acting
    .map(({ limits }) => {
      const { killer, memoryAvailable, swapFree } = limits;
      const victim = firstOf(candidates, limits);
      return {
        killer,
        actsAt: actsAt(limits),
        atBytes: Math.round(bytesOf(memoryAvailable as Amount, memory.totalBytes)),
        swapAllows:
          swapFree === undefined ||
          memory.swapFreeBytes <= bytesOf(swapFree, memory.swapTotalBytes),
        pid: victim?.pid ?? null,
        comm: victim?.comm ?? null,
      };
    })
    .sort((a, b) => b.atBytes - a.atBytes);
}

/**
 * `earlyoom acts at 10 % of memory available ..., the kernel at 0: with 12 % left earlyoom takes firefox
 * (pid 4211) in about 4 minutes.` Nothing where no other killer acts on available memory.
 *
 * @param secondsLeft until memory and swap are used up, where that is told
 */
export function firstToAct(
  [first]: readonly NextOther[],
  { availableBytes, totalBytes }: MemoryNow,
  secondsLeft?: number,
): string | undefined {
  if (first === undefined) return undefined;
  const left = `${Math.round((availableBytes / totalBytes) * 100)} %`;
  const whom = first.pid === null ? "a process" : `${first.comm} (pid ${first.pid})`;
  const takes =
    first.killer === "kubelet"
      ? "evicts a pod"
      : first.killer === "systemd-oomd"
        ? "takes the cgroup with the most swap"
        : `takes ${whom}`;
  const share = (availableBytes - first.atBytes) / availableBytes;
  const when =
    share <= 0
      ? " at any moment"
      : secondsLeft === undefined
        ? " first"
        : ` in ${about(secondsLeft * share)}`;
  const swap = first.swapAllows ? "" : ", once swap is used up as far";
  return `${first.killer} ${first.actsAt}, the kernel at 0: with ${left} left ${first.killer} ${takes}${when}${swap}.`;
}
