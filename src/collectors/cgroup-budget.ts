/** What the series of all cgroups may take of a scrape, uncompressed. */
const budgetBytes = 16_000_000;
/** A cgroup that is left out comes back when there is this much room, so that it does not come and go. */
const returnBytes = 0.9 * budgetBytes;

export interface BudgetCandidate {
  path: string;
  /** What its series take. */
  bytes: number;
  /** It has an owner, or there was a kill in it. */
  isWanted: boolean;
}

/**
 * Keeps the series of cgroups within 16 MB: whoever may make cgroups decides how many there are and how
 * long their names. Whole cgroups are left out: those without owner and kill before the others, and of
 * these the deepest first.
 */
export class CgroupBudget {
  #leftOut: ReadonlySet<string> = new Set();

  /** Everything is within the budget. */
  isMet(bytesAtMost: number): boolean {
    const room = this.#leftOut.size === 0 ? budgetBytes : returnBytes;
    if (bytesAtMost > room) return false;
    this.#leftOut = new Set();
    return true;
  }

  /**
   * Paths of those that are left out.
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
