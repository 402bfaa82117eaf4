/** Maximum size of all cgroup series in a scrape, uncompressed. */
const budgetBytes = 16_000_000;
/** A cgroup that was left out returns only with this much room, so that it does not come and go. */
const returnBytes = 0.9 * budgetBytes;

export interface BudgetCandidate {
  path: string;
  /** Size of its series. */
  bytes: number;
  /** It has an owner, or a kill happened in it. */
  isWanted: boolean;
}

/**
 * Keeps the series of cgroups within 16 MB, because any user who may create cgroups decides their number and the length
 * of their names. Whole cgroups are left out: first those without owner and kill, and of these the deepest first.
 */
export class CgroupBudget {
  #leftOut: ReadonlySet<string> = new Set();

  /** Everything fits in the budget. */
  isMet(bytesAtMost: number): boolean {
    const room = this.#leftOut.size === 0 ? budgetBytes : returnBytes;
    if (bytesAtMost > room) return false;
    this.#leftOut = new Set();
    return true;
  }

  /**
   * Paths of the cgroups to leave out.
   * @param candidates parents before their children
   */
  leaveOut(candidates: readonly BudgetCandidate[]): ReadonlySet<string> {
    const ordered = candidates
      .map((candidate) => ({ ...candidate, depth: candidate.path.split("/").length }))
      .sort((a, b) => Number(b.isWanted) - Number(a.isWanted) || a.depth - b.depth);
    const leftOut = new Set<string>();
    let bytes = 0;
    for (const candidate of ordered) {
      const room = this.#leftOut.has(candidate.path) ? returnBytes : budgetBytes;
      if (bytes + candidate.bytes > room) leftOut.add(candidate.path);
      else bytes += candidate.bytes;
    }
    this.#leftOut = leftOut;
    return leftOut;
  }
}
