import type { AnyKill } from "../killers/linked-kills.ts";
import { parseSince, sinceForms } from "../text/times.ts";

/** A request with an invalid parameter; the message is one line for the client. */
export class BadRequest extends Error {
  override readonly name = "BadRequest";
}

/** A parsed query string: a parameter given more than once is an array. */
export type Query = Readonly<Record<string, string | string[] | undefined>>;

export interface KillsAnswer<Shown extends AnyKill> {
  kills: Shown[];
  /** Where the next older kills are, `null` at the end. */
  next: string | null;
}

const defaultLimit = 100;
const maxLimit = 1000;

/**
 * Answers `/api/v1/kills?since=&limit=&before=`.
 *
 * `before` is the incident of the last kill of the previous page, so new kills do not shift the pages.
 *
 * @param kills newest first.
 * @param path path of `next`, without its query.
 * @throws {BadRequest} if a parameter is invalid.
 */
export function listKills<Shown extends AnyKill>(
  kills: readonly Shown[],
  query: Query,
  path: string,
  nowMs: number,
): KillsAnswer<Shown> {
  const sinceText = single(query, "since");
  const sinceMs = sinceText === undefined ? undefined : sinceOf(sinceText, nowMs);
  const limit = wholeNumber(query, "limit", defaultLimit, maxLimit);
  const wanted = kills.filter(
    ({ time }) => sinceMs === undefined || (time !== null && Date.parse(time) >= sinceMs),
  );
  const before = single(query, "before");
  const start = before === undefined ? 0 : wanted.findIndex((kill) => kill.incident === before) + 1;
  if (before !== undefined && start === 0) {
    throw new BadRequest("before: there is no kill with this incident; start again without it");
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

/** The value of a parameter that may occur once. */
export function single(query: Query, name: string): string | undefined {
  const value = query[name];
  if (typeof value === "object") {
    throw new BadRequest(`${name}: may appear only once`);
  }
  return value === "" ? undefined : value;
}

export function wholeNumber(query: Query, name: string, fallback: number, maximum: number): number {
  const text = single(query, name);
  if (text === undefined) {
    return fallback;
  }
  if (!/^\d{1,9}$/.test(text) || Number(text) < 1 || Number(text) > maximum) {
    throw new BadRequest(`${name}: must be a whole number from 1 to ${maximum}`);
  }
  return Number(text);
}

function sinceOf(text: string, nowMs: number): number {
  const timeMs = parseSince(text, nowMs);
  if (timeMs === undefined) throw new BadRequest(`since: must be ${sinceForms}`);
  return timeMs;
}
