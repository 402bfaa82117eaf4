/**
 * systemd-oomd - systemd's `src/oom/oomd-manager.c` and `oomd-util.c`, since systemd 247.
 *
 * Takes a whole cgroup (v2) with SIGKILL: below a unit with `ManagedOOMMemoryPressure=kill` the one that
 * reclaims most, when the unit's pressure was above its limit for long enough; of units with
 * `ManagedOOMSwap=kill` the one with most swap, when memory and swap are used up to `SwapUsedLimit=`.
 *
 *   kill     = "Killed " CGROUP " due to " why                    (to systemd 259)
 *            | "Marked " CGROUP " for killing due to " why        (since systemd 260)
 *   why      = "memory pressure for " CGROUP " being " PERCENT "% > " PERCENT "% for > " TIME
 *              " with reclaim activity"
 *            | "memory used (" BYTES ") / total (" BYTES ") and swap used (" BYTES ") / total (" BYTES
 *              ") being more than " PERCENT "%"
 *            | "swap used (" BYTES ") / total (" BYTES ") being more than " PERCENT "%"  (248, 249)
 *   rule     = "Rule '" NAME "' conditions met for cgroup " CGROUP " for " TIME ", taking action kill-all"     (after systemd 260)
 *   dry run  = "oomd dry-run: Would have tried to kill " CGROUP " " ...
 *
 *   Killed /system.slice/batch.service due to memory pressure for /system.slice being 66.32% > 50.00% for > 20s with reclaim activity
 *
 * Early versions write the line of a kill after that of a dry run, so the dry-run line revokes the kill.
 */
import { decodeCgroup } from "../kernel-log/kernel-text.ts";
import { type DaemonGrammar, type DaemonKill, type DaemonLine, stampsOf } from "./daemon-kill.ts";

const byPressure =
  /^(?:Killed|Marked) (\/.*?)(?: for killing)? due to memory pressure for (\/.*) being (\d+\.\d+)% > (\d+\.\d+)% for > (\S.{0,40}) with reclaim activity$/s;
const bySwap =
  /^(?:Killed|Marked) (\/.*?)(?: for killing)? due to (?:memory used \((\d+)\) \/ total \((\d+)\) and )?swap used \((\d+)\) \/ total \((\d+)\) being more than (\d+(?:\.\d+)?)%$/s;
const byRule =
  /^Rule '.*?' conditions met for cgroup (\/.*) for (\S.{0,40}), taking action kill-all$/s;
const dryRun =
  /^oomd dry-run: Would have tried to kill (\/.*?)(?: with recurse=(?:true|false)| and all its descendants)?$/s;
const cgroupMount = "/sys/fs/cgroup";
/** A dry run repeats while the pressure lasts. */
const dryRunsKept = 64;

export class OomdGrammar implements DaemonGrammar {
  readonly isOpen = false;
  /** Cgroups named in a dry run, as its kill lines name them. */
  readonly #dryRuns = new Set<string>();

  read(line: DaemonLine): DaemonKill | undefined {
    const { text } = line;
    const would = dryRun.exec(text)?.[1];
    if (would !== undefined) {
      this.#noteDryRun(would);
      return undefined;
    }
    const kill = killOf(text);
    if (kill === undefined || this.#dryRuns.delete(kill.cgroup)) return undefined;
    return { ...kill, cgroup: decodeCgroup(kill.cgroup), ...stampsOf(line) };
  }

  settle(): undefined {
    return undefined;
  }

  /** Newer versions name the cgroup's directory instead of the cgroup. */
  #noteDryRun(cgroup: string): void {
    if (this.#dryRuns.size >= dryRunsKept) this.#dryRuns.clear();
    const isDirectory = cgroup.startsWith(`${cgroupMount}/`);
    this.#dryRuns.add(isDirectory ? cgroup.slice(cgroupMount.length) : cgroup);
  }
}

function killOf(text: string): (DaemonKill & { cgroup: string }) | undefined {
  const base = { killer: "systemd-oomd", signal: "SIGKILL" } as const;
  const pressure = byPressure.exec(text);
  if (pressure !== null) {
    const [, cgroup = "", whole = "", value, limit, duration] = pressure;
    return {
      ...base,
      reason: "memory_pressure",
      cgroup,
      readings: {
        pressurePercent: Number(value),
        pressureLimitPercent: Number(limit),
        pressureCgroup: decodeCgroup(whole),
        pressureDuration: duration,
      },
    };
  }
  const swap = bySwap.exec(text);
  if (swap !== null) {
    const [, cgroup = "", memoryUsed, memoryTotal, swapUsed, swapTotal, usedLimit] = swap;
    const limit = unusedPercent(usedLimit, "100");
    return {
      ...base,
      reason: "swap",
      cgroup,
      readings: {
        memoryAvailablePercent: unusedPercent(memoryUsed, memoryTotal),
        memoryLimitPercent: memoryUsed === undefined ? undefined : limit,
        swapFreePercent: unusedPercent(swapUsed, swapTotal),
        swapLimitPercent: limit,
      },
    };
  }
  const rule = byRule.exec(text);
  if (rule === null) return undefined;
  const [, cgroup = "", duration] = rule;
  return { ...base, reason: "other", cgroup, readings: { pressureDuration: duration } };
}

function unusedPercent(used: string | undefined, total: string | undefined): number | undefined {
  const whole = Number(total);
  if (used === undefined || !(whole > 0)) return undefined;
  return Math.round((1 - Number(used) / whole) * 10_000) / 100;
}
