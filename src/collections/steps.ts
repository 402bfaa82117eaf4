/** Work that is done a little at each `next()`. */
export type Steps<Result> = Generator<void, Result>;

/** Does it all at once. */
export function finished<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** How long work may hold up everything else. */
const sliceMs = 20;

export interface PaceOptions {
  /** Monotonic milliseconds. */
  now: () => number;
  /** Lets other work run. */
  rest: () => Promise<unknown>;
}

/** Does work in slices of 20 ms. */
export class Pace {
  /** How long other work ran in between, milliseconds. */
  restedMs = 0;
  readonly #options: PaceOptions;
  #sliceStartMs: number;

  constructor(options: PaceOptions) {
    this.#options = options;
    this.#sliceStartMs = options.now();
  }

  async finished<Result>(steps: Steps<Result>): Promise<Result> {
    const { now, rest } = this.#options;
    for (;;) {
      const { done, value } = steps.next();
      if (done) return value;
      const nowMs = now();
      if (nowMs - this.#sliceStartMs < sliceMs) continue;
      await rest();
      this.#sliceStartMs = now();
      this.restedMs += this.#sliceStartMs - nowMs;
    }
  }
}
