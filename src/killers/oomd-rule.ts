/**
 * Which cgroups systemd-oomd may kill, and which one first: systemd's `src/oom/oomd-util.c`, systemd.resource-control(5).
 *
 *   ManagedOOMSwap=kill                 candidates are below this unit's cgroup, by swap
 *   ManagedOOMMemoryPressure=kill       candidates are below it, by what they reclaimed since oomd's last look
 *   ManagedOOMMemoryPressureLimit=50%
 *   ManagedOOMPreference=avoid|omit     taken last; never
 *
 * A candidate is a cgroup without children, or the first one from the top with memory.oom.group. For swap it needs more
 * than 5 % of all swap. What a cgroup reclaimed since oomd's last look is known only to oomd. So is what a user's own
 * service manager has set for the units below `user@.service`.
 */
import { lastSetting } from "./killer-limits.ts";

export interface OomdSettings {
  killsForSwap: boolean;
  killsForPressure: boolean;
  /** As in the unit file: `50%`. */
  pressureLimit?: string;
  preference: "none" | "avoid" | "omit";
}

/** @param texts unit file and drop-ins; a later setting overrides an earlier one */
export function oomdSettings(texts: readonly string[]): OomdSettings {
  const setting = (name: string): string | undefined => lastSetting(texts, name);
  const preference = setting("ManagedOOMPreference");
  return {
    killsForSwap: setting("ManagedOOMSwap") === "kill",
    killsForPressure: setting("ManagedOOMMemoryPressure") === "kill",
    pressureLimit: setting("ManagedOOMMemoryPressureLimit") || undefined,
    preference: preference === "avoid" || preference === "omit" ? preference : "none",
  };
}

/** A cgroup below which systemd-oomd kills by swap has this much. */
const leastSwapShare = 0.05;

export interface OomdCgroup {
  path: string;
  swapBytes: number;
}

export interface OomdHost {
  /** All cgroups, without the root. */
  cgroups: readonly OomdCgroup[];
  swapTotalBytes: number;
  settingsOf: (unit: string) => OomdSettings;
  /** memory.oom.group */
  isKilledAsGroup: (path: string) => boolean;
}

/**
 * The cgroup that systemd-oomd would kill now for swap; `null` if none has enough.
 * @returns `undefined` if no unit has ManagedOOMSwap=kill
 */
export function firstForSwap(host: OomdHost): OomdCgroup | null | undefined {
  const { cgroups, swapTotalBytes, settingsOf, isKilledAsGroup } = host;
  const watched = ["/", ...cgroups.map(({ path }) => path)].filter((path) => {
    const unit = unitOf(path);
    return unit !== undefined && settingsOf(unit).killsForSwap;
  });
  if (watched.length === 0) return undefined;
  const parents = new Set(cgroups.map(({ path }) => path.slice(0, path.lastIndexOf("/"))));
  const byPath = new Map(cgroups.map((cgroup) => [cgroup.path, cgroup]));
  const candidates = new Map<string, OomdCgroup & { preference: OomdSettings["preference"] }>();
  const hasEnough = ({ swapBytes }: OomdCgroup) => swapBytes > swapTotalBytes * leastSwapShare;
  for (const leaf of cgroups) {
    const top = watched.find((path) => path === "/" || leaf.path.startsWith(`${path}/`));
    if (parents.has(leaf.path) || top === undefined) continue;
    // The swap is asked first: memory.oom.group takes a read, and what is above it has no less.
    const group = pathsBelow(top, leaf.path).find((path) => {
      const { swapBytes } = byPath.get(path) ?? leaf;
      return hasEnough({ path, swapBytes }) && isKilledAsGroup(path);
    });
    const candidate = byPath.get(group ?? leaf.path) ?? leaf;
    if (!hasEnough(candidate)) continue;
    const unit = unitOf(candidate.path);
    const preference = unit === undefined ? "none" : settingsOf(unit).preference;
    if (preference !== "omit") candidates.set(candidate.path, { ...candidate, preference });
  }
  const [first] = [...candidates.values()].sort(
    (a, b) =>
      Number(a.preference === "avoid") - Number(b.preference === "avoid") ||
      b.swapBytes - a.swapBytes,
  );
  return first === undefined ? null : { path: first.path, swapBytes: first.swapBytes };
}

/** The system manager's unit of a cgroup; a user's manager has settings of its own. */
function unitOf(path: string): string | undefined {
  if (path === "/") return "-.slice";
  if (/\/user@[0-9]+\.service\//.test(path)) return undefined;
  const name = path.slice(path.lastIndexOf("/") + 1);
  return /\.(slice|service|scope)$/.test(name) ? name : undefined;
}

/** From the one right below `top` down to `path`. */
function pathsBelow(top: string, path: string): string[] {
  const start = top === "/" ? 0 : top.length;
  const ends = [...path.slice(start + 1).matchAll(/\/|$/g)].map(({ index }) => start + 1 + index);
  return ends.map((end) => path.slice(0, end));
}
