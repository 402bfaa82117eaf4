/** Stores a ledger across restarts, like `StateDirectory`. Never throws. */
export interface ChangeStore<Change, Snapshot> {
  /**
   * Saves a change before it returns. `snapshot` returns the whole ledger including that change; `sync` false: a machine
   * crash may lose the change.
   */
  append(change: Change, snapshot: () => Snapshot, options: { sync: boolean }): unknown;
  /** False while the published values would not survive a restart. */
  readonly isSaving: boolean;
  /** Saves the whole ledger, replacing all previous changes. */
  compact(snapshot: () => Snapshot): unknown;
  /** Starts syncing appended changes to disk. */
  flush(): void;
}
