/** Standard input that is followed, as in `dmesg -w | oom-exporter explain -`. */

/** Calls back twice a second until the returned function is called. */
export type Ticker = (tick: () => void) => () => void;

export interface Follower {
  /** Whether there is something to show. */
  hasNews(): boolean;
  /** Shows it: no more may come for hours. */
  show(): void;
}

/** Half a pipe's buffer in half a second: a log that is read from its start brings much more. */
const littleBytes = 32 * 1024;

/**
 * Passes `chunks` on. If they bring little in half a second, they are being followed, and what there is to show is shown
 * at the end of the next half second: a group of kills and the lines that explain them come together, but not at once.
 */
export async function* followed(
  chunks: AsyncIterable<Uint8Array>,
  ticker: Ticker,
  follower: Follower,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  let hadNews = false;
  const stop = ticker(() => {
    const isSlow = bytes < littleBytes;
    bytes = 0;
    const isDue = isSlow && hadNews;
    hadNews = isSlow && follower.hasNews();
    if (!isDue) return;
    hadNews = false;
    follower.show();
  });
  try {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      yield chunk;
    }
  } finally {
    stop();
  }
}
