/** Rows that are made at once; all of them hold `slots` numbers. */
const firstRows = 64;

/** How much was in use at one time. */
export interface Use {
  /** Monotonic milliseconds. */
  atMs: number;
  bytes: number;
}

/**
 * What was in use by name, look by look, for the last `slots` looks. A name that none of them has seen is
 * forgotten. Without a look there is no point: a gap stays a gap.
 *
 * Memory: 8 bytes a look and name, and some 100 for the name.
 */
export class UseRing {
  readonly #slots: number;
  readonly #apartMs: number;
  readonly #namesAtMost: number;
  readonly #times: Float64Array;
  #bytes: Float64Array;
  readonly #rows = new Map<string, { row: number; look: number }>();
  readonly #free: number[] = [];
  #looks = 0;

  /** @param apartMs looks closer together than this are passed over */
  constructor(options: { slots: number; apartMs: number; namesAtMost: number }) {
    this.#slots = options.slots;
    this.#apartMs = options.apartMs;
    this.#namesAtMost = options.namesAtMost;
    this.#times = new Float64Array(options.slots).fill(Number.NEGATIVE_INFINITY);
    this.#bytes = new Float64Array(0);
  }

  /** Whether the next look would be noted. */
  isDue(nowMs: number): boolean {
    return nowMs - this.lastMs >= this.#apartMs;
  }

  /** Of the last look; minus infinity where there was none. */
  get lastMs(): number {
    return this.#looks === 0
      ? Number.NEGATIVE_INFINITY
      : (this.#times[(this.#looks - 1) % this.#slots] as number);
  }

  /** Of the oldest look that is kept; `undefined` where there is none. */
  get firstMs(): number | undefined {
    if (this.#looks === 0) return undefined;
    const oldest = this.#looks > this.#slots ? this.#looks % this.#slots : 0;
    return this.#times[oldest];
  }

  has(name: string): boolean {
    return this.#rows.has(name);
  }

  get names(): Iterable<string> {
    return this.#rows.keys();
  }

  /** Notes one look; names for which there is no room are left out. */
  note(nowMs: number, uses: Iterable<readonly [name: string, bytes: number]>): void {
    if (!this.isDue(nowMs)) return;
    const slot = this.#looks % this.#slots;
    this.#times[slot] = nowMs;
    for (const { row } of this.#rows.values()) this.#bytes[row * this.#slots + slot] = Number.NaN;
    for (const [name, bytes] of uses) {
      const known = this.#rows.get(name) ?? this.#add(name);
      if (known === undefined) continue;
      known.look = this.#looks;
      this.#bytes[known.row * this.#slots + slot] = bytes;
    }
    this.#looks++;
    for (const [name, { row, look }] of this.#rows) {
      if (this.#looks - look <= this.#slots) continue;
      this.#rows.delete(name);
      this.#free.push(row);
    }
  }

  /** The looks that saw `name`, the oldest first. */
  uses(name: string): Use[] {
    const known = this.#rows.get(name);
    const uses: Use[] = [];
    if (known === undefined) return uses;
    for (let look = Math.max(0, this.#looks - this.#slots); look < this.#looks; look++) {
      const slot = look % this.#slots;
      const bytes = this.#bytes[known.row * this.#slots + slot] as number;
      if (!Number.isNaN(bytes)) uses.push({ atMs: this.#times[slot] as number, bytes });
    }
    return uses;
  }

  /** Of the last look before `atMs` that is kept; `undefined` where there is none. */
  lookBefore(atMs: number): number | undefined {
    for (let look = this.#looks - 1; look >= 0 && look >= this.#looks - this.#slots; look--) {
      const time = this.#times[look % this.#slots] as number;
      if (time < atMs) return time;
    }
    return undefined;
  }

  /** In use at the last look that saw `name`. */
  last(name: string): number | undefined {
    const known = this.#rows.get(name);
    return known && this.#bytes[known.row * this.#slots + (known.look % this.#slots)];
  }

  #add(name: string): { row: number; look: number } | undefined {
    if (this.#rows.size >= this.#namesAtMost) return undefined;
    const row = this.#free.pop() ?? this.#rows.size;
    const rows = this.#bytes.length / this.#slots;
    if (row >= rows) {
      const grown = new Float64Array(Math.max(firstRows, rows * 2) * this.#slots);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes.fill(Number.NaN, row * this.#slots, (row + 1) * this.#slots);
    const added = { row, look: this.#looks };
    this.#rows.set(name, added);
    return added;
  }
}
