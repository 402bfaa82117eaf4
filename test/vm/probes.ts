/** One question of `probe` (test/vm/kit/guest/tools.c), and how the process asked stood after the answer. */
export interface Answer {
  /** Seconds since boot at which it was asked. */
  atSeconds: number;
  ms: number;
  /** HTTP status; 0 where there was no answer. */
  status: number;
  /** Of the process asked, since it started; -1 where it is gone. */
  majorFaults: number;
  anonymousKb: number;
  swappedKb: number;
}

export function answersOf(text: string): Answer[] {
  return text
    .trim()
    .split("\n")
    .map((line) => {
      const [
        atSeconds = 0,
        ms = 0,
        status = 0,
        majorFaults = -1,
        anonymousKb = -1,
        swappedKb = -1,
      ] = line.split(" ").map(Number);
      return { atSeconds, ms, status, majorFaults, anonymousKb, swappedKb };
    });
}
