/** Rows allocated at first; each has `slots` numbers. */
const firstRows = 64;

/** Memory in use at one time. */
export interface Use {
  /** Monotonic milliseconds. */
  atMs: number;
  bytes: number;
}

/**
 * Memory in use by name, for the last `slots` looks and a bounded number of names. A name that none of these looks has
 * seen is forgotten. Without a look there is no point: a gap stays a gap.
 *
 * Memory: 4 bytes per look and name, and some 100 for the name.
 */
export class UseRing {
  readonly #slots: number;
  readonly #apartMs: number;
  readonly #namesAtMost: number;
  readonly #times: Float64Array;
  /** Single precision: multiples of a 4 KiB page are exact up to 64 GiB, and off by less than 1 in 16 million above. */
  #bytes: Float32Array;
  /** The name not seen for the longest time comes first. */
  readonly #rows = new Map<string, { row: number; look: number }>();
  readonly #free: number[] = [];
  #looks = 0;

  /** @param apartMs a look that follows sooner than this is ignored */
  constructor(options: { slots: number; apartMs: number; namesAtMost: number }) {
    this.#slots = options.slots;
    this.#apartMs = options.apartMs;
    this.#namesAtMost = options.namesAtMost;
    this.#times = new Float64Array(options.slots).fill(Number.NEGATIVE_INFINITY);
    this.#bytes = new Float32Array(0);
  }

  /** Whether the next look would be noted. */
  isDue(nowMs: number): boolean {
    return nowMs - this.lastMs >= this.#apartMs;
  }

  /** Time of the last look; minus infinity before the first. */
  get lastMs(): number {
    return this.#looks === 0
      ? Number.NEGATIVE_INFINITY
      : (this.#times[(this.#looks - 1) % this.#slots] as number);
  }

  /** Time of the oldest look in the ring; `undefined` before the first. */
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

  /**
   * Notes one look. New names replace those not seen for the longest time.
   *
   * @param uses most important first: names beyond the maximum are left out
   * @param options `forgetsUnseen`: names that this look has not seen are forgotten at once
   */
  note(
    nowMs: number,
    uses: Iterable<readonly [name: string, bytes: number]>,
    { forgetsUnseen = false } = {},
  ): void {
    if (!this.isDue(nowMs)) return;
    const slot = this.#looks % this.#slots;
    this.#times[slot] = nowMs;
    for (const { row } of this.#rows.values()) this.#bytes[row * this.#slots + slot] = Number.NaN;
    const added: (readonly [name: string, bytes: number])[] = [];
    const set = (name: string, known: { row: number }, bytes: number) => {
      this.#rows.delete(name);
      this.#rows.set(name, { row: known.row, look: this.#looks });
      this.#bytes[known.row * this.#slots + slot] = bytes;
    };
    // First those with a history, so that no new name takes their place.
    for (const use of [...uses].slice(0, this.#namesAtMost)) {
      const known = this.#rows.get(use[0]);
      if (known === undefined) added.push(use);
      else set(use[0], known, use[1]);
    }
    for (const [name, bytes] of added) set(name, { row: this.#newRow() }, bytes);
    for (const [name, { look }] of this.#rows) {
      const unseenFor = this.#looks - look;
      if (unseenFor === 0) break;
      if (forgetsUnseen || unseenFor >= this.#slots) this.#forget(name);
    }
    this.#looks++;
  }

  /** The looks that saw `name`, oldest first. */
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

  /** Time of the last look before `atMs`; `undefined` if there is none in the ring. */
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

  /** A free row, if need be that of the name not seen for the longest time. */
  #newRow(): number {
    if (this.#rows.size >= this.#namesAtMost)
      this.#forget(this.#rows.keys().next().value as string);
    const row = this.#free.pop() ?? this.#rows.size;
    const rows = this.#bytes.length / this.#slots;
    if (row >= rows) {
      const enlarged = Math.min(this.#namesAtMost, Math.max(firstRows, rows * 2));
      const bytes = new Float32Array(enlarged * this.#slots);
      bytes.set(this.#bytes);
      this.#bytes = bytes;
    }
    this.#bytes.fill(Number.NaN, row * this.#slots, (row + 1) * this.#slots);
    return row;
  }

  #forget(name: string): void {
    const known = this.#rows.get(name);
    if (known === undefined) return;
    this.#rows.delete(name);
    this.#free.push(known.row);
  }
}
