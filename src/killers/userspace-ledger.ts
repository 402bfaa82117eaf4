import type { ChangeStore } from "../kills/change-store.ts";
import { recentLimit, recentMs } from "../kills/kill-history.ts";
import type { OwnerLabels } from "../kills/owner.ts";
import { jsonCopy } from "../text/json-text.ts";
import {
  type FollowedKiller,
  followedKillers,
  type KillReason,
  type UserspaceKiller,
} from "./killer.ts";
import {
  UserspaceIdentities,
  type UserspaceIdentity,
  type UserspaceSighting,
} from "./userspace-identity.ts";
import type { UserspaceKill } from "./userspace-kill.ts";

/** Number of kills whose details are kept, the newest. */
const storyLimit = 200;

/** The labels of `oom_userspace_kill_timestamp_seconds`. */
export interface UserspaceKillLabels extends OwnerLabels {
  incident: string;
  killer: UserspaceKiller;
  pid: string;
  comm: string;
  program: string;
  reason: KillReason;
}

/** A kill, as it was first shown. */
export interface UserspaceEntry {
  identity: UserspaceIdentity;
  kill: UserspaceKill;
  /** They never change once shown. */
  labels: UserspaceKillLabels;
  /** Found in the log on the first start: shown, never counted. */
  history: boolean;
}

/** What enters the ledger in one step and is saved in one step. */
export interface UserspaceChange {
  atMs: number;
  entries?: readonly UserspaceEntry[];
  /** Further announcements of known kills. */
  extended?: readonly UserspaceSighting[];
  /** How far each source has been read. */
  positions?: Readonly<Record<string, unknown>>;
  /** On the first start: counting begins here. */
  began?: true;
}

interface Story extends Omit<UserspaceEntry, "identity"> {
  atMs: number;
}

/** The whole ledger as JSON. */
export interface UserspaceSnapshot {
  counts: Partial<Record<FollowedKiller, number>>;
  identities: UserspaceIdentity[];
  stories: Story[];
  positions: Record<string, unknown>;
  /** When counting began, milliseconds since the epoch; `null` before. */
  beganMs: number | null;
}

export interface SavedUserspaceLedger {
  snapshot?: UserspaceSnapshot;
  /** The changes since, oldest first. */
  changes: readonly UserspaceChange[];
}

export type UserspaceStore = ChangeStore<UserspaceChange, UserspaceSnapshot>;

export interface RecentUserspaceKill {
  timestampMs: number;
  labels: UserspaceKillLabels;
}

/**
 * Every kill by a daemon once: counted, saved, then shown. The kernel's kills are in a ledger of their own.
 *
 * Invariants, in the life of a state: a count is the number of distinct kills of that daemon read since
 * the first start, and never decreases; labels never change once shown; what is lost with the process is
 * read again from the position that was saved with the counts.
 */
export class UserspaceLedger {
  readonly #store: UserspaceStore | undefined;
  readonly #identities = new UserspaceIdentities();
  readonly #counts = new Map<FollowedKiller, number>();
  /** By incident, in the order of first reading. */
  readonly #stories = new Map<string, Story>();
  readonly #positions = new Map<string, unknown>();
  #beganMs: number | undefined;

  constructor({ store, saved }: { store?: UserspaceStore; saved?: SavedUserspaceLedger }) {
    this.#store = store;
    if (saved?.snapshot !== undefined) this.#restore(saved.snapshot);
    for (const change of saved?.changes ?? []) this.#apply(change);
  }

  /** When counting began, milliseconds since the epoch: what was logged before is history. `undefined` on the first start. */
  get beganMs(): number | undefined {
    return this.#beganMs;
  }

  find(sighting: UserspaceSighting): UserspaceIdentity | undefined {
    return this.#identities.find(sighting);
  }

  /** Takes a change in and saves it, in one synchronous step: nothing can be shown in between. */
  record(given: UserspaceChange): void {
    // What is kept for weeks must not hold the text of the log that it was cut from.
    const change = jsonCopy(given);
    this.#apply(change);
    const { entries = [], extended = [], began } = change;
    const isMoreThanPositions = entries.length + extended.length > 0 || began === true;
    this.#store?.append(change, () => this.snapshot(), { sync: isMoreThanPositions });
  }

  /** Saves what could not be saved before, and starts the disk's part. About once a second. */
  flush(): void {
    if (this.#store?.isSaving === false) this.#store.compact(() => this.snapshot());
    this.#store?.flush();
  }

  count(killer: FollowedKiller): number {
    return this.#counts.get(killer) ?? 0;
  }

  position(key: string): unknown {
    return this.#positions.get(key);
  }

  /** All kills whose details are kept, newest first. */
  kills(): UserspaceKill[] {
    return this.#newestFirst().map(({ kill }) => kill);
  }

  /** Kills of the last hour, and those first read in it after downtime: at most 100, newest first. */
  recent(nowMs: number): RecentUserspaceKill[] {
    return this.#newestFirst()
      .filter((story) => nowMs - recentUntilMs(story) <= recentMs)
      .slice(0, recentLimit)
      .map((story) => ({ timestampMs: happenedMs(story), labels: story.labels }));
  }

  snapshot(): UserspaceSnapshot {
    return {
      counts: Object.fromEntries(this.#counts),
      identities: this.#identities.save(),
      stories: [...this.#stories.values()],
      positions: Object.fromEntries(this.#positions),
      beganMs: this.#beganMs ?? null,
    };
  }

  #restore({ counts, identities, stories, positions, beganMs }: UserspaceSnapshot): void {
    for (const killer of followedKillers) this.#counts.set(killer, counts[killer] ?? 0);
    this.#identities.restore(identities);
    for (const story of stories) this.#stories.set(story.kill.incident, story);
    for (const [key, position] of Object.entries(positions)) this.#positions.set(key, position);
    this.#beganMs = beganMs ?? undefined;
  }

  #apply({ atMs, entries = [], extended = [], positions = {}, began }: UserspaceChange): void {
    for (const { identity, ...entry } of entries) {
      this.#identities.add(identity);
      // Two kills may share an incident; what was shown first stays.
      if (!this.#stories.has(identity.incident)) {
        this.#stories.set(identity.incident, { ...entry, atMs });
      }
      if (!entry.history) this.#countOne(identity.killer);
    }
    for (const sighting of extended) this.#identities.extend(sighting);
    for (const [key, position] of Object.entries(positions)) this.#positions.set(key, position);
    if (began === true) this.#beganMs ??= atMs;
    for (const incident of this.#stories.keys()) {
      if (this.#stories.size <= storyLimit) break;
      this.#stories.delete(incident);
    }
  }

  #countOne(killer: UserspaceKiller): void {
    const followed = followedKillers.find((name) => name === killer);
    if (followed !== undefined) this.#counts.set(followed, this.count(followed) + 1);
  }

  #newestFirst(): Story[] {
    return [...this.#stories.values()].reverse().sort((a, b) => happenedMs(b) - happenedMs(a));
  }
}

function happenedMs({ kill, atMs }: Story): number {
  return kill.time === null ? atMs : Date.parse(kill.time);
}

/** The moment from which the hour of `recent` runs. */
function recentUntilMs(story: Story): number {
  return story.history ? happenedMs(story) : Math.max(happenedMs(story), story.atMs);
}
