import { parseProcessBirth, ticksPerSecond } from "../kernel/process-stat.ts";
import type { Kill } from "../kills/kill.ts";
import type { KillWitness, Witnessed } from "../kills/kill-recorder.ts";
import type { HostFiles } from "../sources/host-files.ts";
import type { ProcessTable } from "../sources/process-table.ts";
import type { ProgramNames } from "../sources/program-names.ts";
import type { FlightRecorder } from "./flight-recorder.ts";

export interface HostWitnessOptions {
  files: HostFiles;
  table: Pick<ProcessTable, "firstSeenMs">;
  /** Absent if no program is looked up. */
  programs: Pick<ProgramNames, "killBegan" | "programOf" | "startTicksOf"> | undefined;
  recorder: Pick<FlightRecorder, "before">;
  /** Seconds from boot, time in suspend included. */
  bootSeconds: () => number;
  /** A clock that never goes back, milliseconds. */
  monotonicMs: () => number;
  /** The clock of the kernel's own stamps, milliseconds since boot. */
  printkMs: () => number;
}

/** A line is read this soon after it was written, even on a busy machine. A stamp that says otherwise comes from a clock that drifts. */
const readWithinSeconds = 10;
/** If the stamp does not say when it was written. */
const usuallyReadWithinSeconds = 1;

/** What the exporter knew about the host when a kill happened. */
export class HostWitness implements KillWitness {
  readonly #options: HostWitnessOptions;

  constructor(options: HostWitnessOptions) {
    this.#options = options;
  }

  killBegan(): void {
    this.#options.programs?.killBegan();
  }

  factsOf(kill: Kill): Witnessed {
    const { programs, recorder, bootSeconds } = this.#options;
    const killedSeconds = this.#killedSeconds(kill);
    const bornSeconds = this.#bornSeconds(kill);
    return {
      facts: {
        program: programs?.programOf(kill) || null,
        ageSeconds:
          bornSeconds === undefined ? null : Math.max(0, Math.round(killedSeconds - bornSeconds)),
        before: recorder.before(kill, Math.max(0, bootSeconds() - killedSeconds) * 1000),
      },
      killedSeconds,
    };
  }

  /** From the stamp, unless the kernel's clock for stamps has drifted. */
  #killedSeconds({ uptimeSeconds }: Kill): number {
    const { bootSeconds, printkMs } = this.#options;
    const agoSeconds = uptimeSeconds === null ? Number.NaN : printkMs() / 1000 - uptimeSeconds;
    const isLikely = agoSeconds > -0.1 && agoSeconds <= readWithinSeconds;
    return bootSeconds() - (isLikely ? Math.max(0, agoSeconds) : usuallyReadWithinSeconds);
  }

  /** From the process if it still exists, else from what was read of it, else from when it was first seen. */
  #bornSeconds({ pid, comm }: Kill): number | undefined {
    const { files, programs, table, bootSeconds, monotonicMs } = this.#options;
    const text = files.textIfReadable(files.procfs(`${pid}`, "stat"));
    const birth = text === undefined ? undefined : parseProcessBirth(text);
    const startTicks =
      birth?.comm === comm ? birth.startTicks : programs?.startTicksOf({ pid, comm });
    if (startTicks !== undefined) return startTicks / ticksPerSecond;
    const firstSeenMs = table.firstSeenMs(pid);
    if (firstSeenMs === undefined) return undefined;
    return bootSeconds() - (monotonicMs() - firstSeenMs) / 1000;
  }
}
