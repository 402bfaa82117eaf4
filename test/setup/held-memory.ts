import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** How many bytes of the heap are held by what `make` returns, garbage collected. */
export function heldBytes(make: () => unknown): number {
  collect();
  const before = process.memoryUsage().heapUsed;
  const held = make();
  collect();
  const bytes = process.memoryUsage().heapUsed - before;
  // In use until here.
  return held === undefined ? Number.NaN : bytes;
}

export const mebibyte = 2 ** 20;
