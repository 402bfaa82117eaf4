import type { ProcessTable } from "./process-table.ts";

export interface NewProcessesOptions {
  table: Pick<ProcessTable, "readYoung">;
  /** Monotonic milliseconds. */
  now: () => number;
}

/** A host with endless forks, or with many processes to list, is checked less often. */
const cpuShareAtMost = 1 / 100;

/**
 * Identifies new processes soon after their creation. In a storm of kills most victims are dead before anything else can
 * be asked about them.
 */
export class NewProcesses {
  readonly #options: NewProcessesOptions;
  #restUntilMs = Number.NEGATIVE_INFINITY;

  constructor(options: NewProcessesOptions) {
    this.#options = options;
  }

  /** Called several times a second. */
  look(): void {
    const { table, now } = this.#options;
    const startMs = now();
    if (startMs < this.#restUntilMs) return;
    table.readYoung();
    const endMs = now();
    this.#restUntilMs = endMs + (endMs - startMs) / cpuShareAtMost;
  }
}
