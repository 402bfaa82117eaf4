import type { Kill } from "../kills/kill.ts";
import type { Owner } from "../kills/owner.ts";
import { type FindingState, findings } from "../status/findings.ts";
import {
  type CgroupView,
  type HostMemoryView,
  heldBytes,
  type StatusView,
} from "../status/status-view.ts";
import type { Refusal, TimeLeft } from "../status/time-left.ts";

/** A request that cannot be answered as it stands; the message is one line for the client. */
export class BadRequest extends Error {
  override readonly name = "BadRequest";
}

/** A parsed query string: a parameter given more than once is an array. */
export type Query = Readonly<Record<string, string | string[] | undefined>>;

export interface KillsAnswer {
  kills: Kill[];
  /** Where the next older kills are, `null` at the end. */
  next: string | null;
}

const defaultLimit = 100;
const maxLimit = 1000;

/**
 * Answers `/api/v1/kills?since=&limit=&before=`.
 *
 * `before` is the incident of the last kill of the page before, so a kill that happens while
 * somebody reads on shifts nothing.
 *
 * @param kills newest first.
 * @param path what `next` begins with.
 * @throws {BadRequest} where a parameter cannot be understood.
 */
export function listKills(
  kills: readonly Kill[],
  query: Query,
  path: string,
  nowMs: number,
): KillsAnswer {
  const sinceText = single(query, "since");
  const sinceMs = sinceText === undefined ? undefined : parseSince(sinceText, nowMs);
  const limit = wholeNumber(query, "limit", defaultLimit, maxLimit);
  const wanted = kills.filter(
    ({ time }) => sinceMs === undefined || (time !== null && Date.parse(time) >= sinceMs),
  );
  const before = single(query, "before");
  const start = before === undefined ? 0 : wanted.findIndex((kill) => kill.incident === before) + 1;
  if (before !== undefined && start === 0) {
    throw new BadRequest("before: no kill with that incident is known; begin again without it");
  }
  const page = wanted.slice(start, start + limit);
  const last = page.at(-1);
  if (last === undefined || start + limit >= wanted.length) {
    return { kills: page, next: null };
  }
  const parameters = new URLSearchParams({ limit: String(limit), before: last.incident });
  if (sinceMs !== undefined) {
    parameters.set("since", new Date(sinceMs).toISOString());
  }
  return { kills: page, next: `${path}?${parameters}` };
}

/** The value of a parameter that may stand once. */
export function single(query: Query, name: string): string | undefined {
  const value = query[name];
  if (typeof value === "object") {
    throw new BadRequest(`${name}: given more than once`);
  }
  return value === "" ? undefined : value;
}

export function wholeNumber(query: Query, name: string, fallback: number, maximum: number): number {
  const text = single(query, name);
  if (text === undefined) {
    return fallback;
  }
  if (!/^\d{1,9}$/.test(text) || Number(text) < 1 || Number(text) > maximum) {
    throw new BadRequest(`${name}: want a whole number from 1 to ${maximum}`);
  }
  return Number(text);
}

const secondsOf: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

function parseSince(text: string, nowMs: number): number {
  const span = /^(\d{1,6})([smhd])$/.exec(text);
  if (span !== null) {
    return nowMs - Number(span[1]) * (secondsOf[span[2] as string] as number) * 1000;
  }
  const timeMs = /^\d{1,11}(\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(text);
  if (Number.isNaN(timeMs)) {
    throw new BadRequest("since: want 2026-11-21T03:44:00Z, Unix seconds, or a span such as 2h");
  }
  return timeMs;
}

/** When a limit is reached, or why that is not said: one of the two is `null`. */
interface Forecast {
  timeLeftSeconds: number | null;
  refused: Refusal | null;
}

/** Body of `/api/v1/status`. Unknown is `null`; docs/openapi.yaml says what each field is. */
export interface StatusAnswer {
  version: string;
  revision: string;
  uptimeSeconds: number;
  state: FindingState;
  /** What the page says first. */
  sentence: string;
  memory:
    | (Forecast & {
        totalBytes: number;
        availableBytes: number;
        swapTotalBytes: number;
        swapFreeBytes: number;
        /** What is left before the kernel has to kill. */
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
  nextVictim: { pid: number; comm: string } | null;
}

/** A cgroup at this share of its limit is near it, and so is one for which a time is told. */
const nearLimitRatio = 0.8;
const nearAtMost = 20;

/** Those of `cgroups`, the nearest to its limit first, that the answer lists. */
export function nearLimits<View extends CgroupView>(cgroups: readonly View[]): View[] {
  return cgroups
    .filter(
      (view) => heldBytes(view) >= view.limitBytes * nearLimitRatio || "seconds" in view.timeLeft,
    )
    .slice(0, nearAtMost);
}

/** Answers `/api/v1/status`: what the page says, for machines. */
export function statusAnswer(
  view: StatusView,
  own: { version: string; revision: string; startedMs: number },
): StatusAnswer {
  const [{ state, sentence }] = findings(view);
  return {
    version: own.version,
    revision: own.revision,
    uptimeSeconds: (view.atMs - own.startedMs) / 1000,
    state,
    sentence,
    memory: view.memory === undefined ? null : memoryAnswer(view.memory),
    nearLimits: nearLimits(view.cgroups).map(nearLimit),
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

function nearLimit(view: CgroupView): NearLimit {
  return {
    cgroup: view.cgroup,
    owner: view.owner,
    usedBytes: view.usedBytes,
    unreclaimableBytes: view.unreclaimableBytes ?? null,
    limitBytes: view.limitBytes,
    limitCgroup: view.limitCgroup ?? null,
    ...forecast(view.timeLeft),
    nextVictim: view.nextVictim ?? null,
  };
}

function forecast(left: TimeLeft): Forecast {
  return "seconds" in left
    ? { timeLeftSeconds: left.seconds, refused: null }
    : { timeLeftSeconds: null, refused: left.refused };
}
