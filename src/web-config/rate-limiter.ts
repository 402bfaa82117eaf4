/** A token bucket: one token every `intervalMs`, with `burst` tokens at the start and as maximum. */
export class RateLimiter {
  readonly #intervalMs: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  /** @param nowMs a monotonic clock, milliseconds */
  constructor({ intervalMs, burst }: { intervalMs: number; burst: number }, nowMs: number) {
    this.#intervalMs = intervalMs;
    this.#burst = burst;
    this.#tokens = burst;
    this.#atMs = nowMs;
  }

  /** Takes a token; false if none is left. */
  allow(nowMs: number): boolean {
    const returned = (nowMs - this.#atMs) / this.#intervalMs;
    this.#tokens = Math.min(this.#burst, this.#tokens + returned);
    this.#atMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
