import type { Owner } from "../kills/owner.ts";
import { isNearLimit } from "../sources/cgroup-reading.ts";
import type { Bypass } from "../victims/bypass.ts";
import { type FindingState, findings } from "./findings.ts";
import { type CgroupView, type HostMemoryView, heldBytes, type StatusView } from "./status-view.ts";
import type { Refusal, TimeLeft } from "./time-left.ts";

/** Identity and start time of the exporter. */
export interface OwnVersion {
  version: string;
  revision: string;
  uptimeSeconds: number;
}

/** When a limit will be reached, or why there is no forecast: one of the two is `null`. */
interface Forecast {
  timeLeftSeconds: number | null;
  refused: Refusal | null;
}

/** Body of `/api/v1/status`. An unknown value is `null`; docs/openapi.yaml describes each field. */
export interface StatusAnswer {
  version: string;
  revision: string;
  uptimeSeconds: number;
  state: FindingState;
  /** The answer of the page. */
  sentence: string;
  memory:
    | (Forecast & {
        totalBytes: number;
        availableBytes: number;
        swapTotalBytes: number;
        swapFreeBytes: number;
        /** Memory left before the kernel has to kill. */
        headroomBytes: number;
      })
    | null;
  nearLimits: NearLimit[];
  sources: { name: string; path: string | null; up: boolean; reason: string | null }[];
  killsUnaccounted: number | null;
  troubles: readonly { collector: string; reason: string }[];
}

/** A limit that is near, or will be. */
export interface NearLimit extends Forecast {
  cgroup: string;
  owner: Owner;
  usedBytes: number;
  unreclaimableBytes: number | null;
  limitBytes: number;
  limitCgroup: string | null;
  nextVictim: { pid: number; comm: string; program: string | null } | null;
  /** By this setting the kernel would not kill by its ranking. */
  bypass: Bypass | null;
}

const nearAtMost = 20;

/** Those of `cgroups`, nearest to its limit first, that are near it or will reach it within hours. */
export function nearLimits<View extends CgroupView>(cgroups: readonly View[]): View[] {
  return cgroups
    .filter((view) => isNearLimit(heldBytes(view), view.limitBytes) || "seconds" in view.timeLeft)
    .slice(0, nearAtMost);
}

/** The data of the page as JSON for `/api/v1/status`. */
export function statusAnswer(view: StatusView, own: OwnVersion): StatusAnswer {
  const [{ state, sentence }] = findings(view);
  return {
    version: own.version,
    revision: own.revision,
    uptimeSeconds: own.uptimeSeconds,
    state,
    sentence,
    memory: view.memory === undefined ? null : memoryAnswer(view.memory),
    nearLimits: nearLimits(view.cgroups).map(nearLimitAnswer),
    sources: view.sources.map(({ name, path, up, reason }) => ({
      name,
      path: path ?? null,
      up,
      reason: reason ?? null,
    })),
    killsUnaccounted: view.unaccountedKills ?? null,
    troubles: view.troubles,
  };
}

function memoryAnswer(memory: HostMemoryView): NonNullable<StatusAnswer["memory"]> {
  const { totalBytes, availableBytes, swapTotalBytes, swapFreeBytes } = memory;
  return {
    totalBytes,
    availableBytes,
    swapTotalBytes,
    swapFreeBytes,
    headroomBytes: availableBytes + swapFreeBytes,
    ...forecast(memory.timeLeft),
  };
}

function nearLimitAnswer(view: CgroupView): NearLimit {
  return {
    cgroup: view.cgroup,
    owner: view.owner,
    usedBytes: view.usedBytes,
    unreclaimableBytes: view.unreclaimableBytes ?? null,
    limitBytes: view.limitBytes,
    limitCgroup: view.limitCgroup ?? null,
    ...forecast(view.timeLeft),
    nextVictim: view.nextVictim ?? null,
    bypass: view.bypass ?? null,
  };
}

function forecast(left: TimeLeft): Forecast {
  return "seconds" in left
    ? { timeLeftSeconds: left.seconds, refused: null }
    : { timeLeftSeconds: null, refused: left.refused };
}
