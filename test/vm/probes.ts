/** One request by `probe` (test/vm/kit/guest/tools.c), and the state of the exporter after the answer. */
export interface Answer {
  /** Seconds since boot at which it was asked. */
  atSeconds: number;
  ms: number;
  /** HTTP status; 0 without an answer. */
  status: number;
  /** Of the process asked, since its start; -1 if it is gone. */
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
