import { decimalAt } from "./flat-keyed.ts";

/*
 * /proc/pressure/memory and cgroup v2 memory.pressure
 * https://docs.kernel.org/accounting/psi.html
 * Since 4.20, with CONFIG_PSI; some distributions need psi=1 on the kernel command line.
 *
 *   file = { ( "some" | "full" ) { " " name "=" number } "\n" }
 *
 *   some avg10=0.00 avg60=0.00 avg300=0.00 total=14325
 *   full avg10=0.00 avg60=0.00 avg300=0.00 total=9021
 *
 * "total" is in microseconds, the averages are percentages of the last seconds. No metric shows them: Prometheus
 * computes better ones from the total.
 */

/** Time lost to memory stalls since boot, in seconds. */
export interface Pressure {
  /** At least one task waited. */
  someSeconds?: number;
  /** No task could run. */
  fullSeconds?: number;
}

const newline = 0x0a;
const equals = 0x3d;
const some = Buffer.from("some ", "latin1");
const full = Buffer.from("full ", "latin1");
const total = Buffer.from("total", "latin1");

/** Parses the first `length` bytes of a pressure file. Other lines are skipped. */
export function parsePressure(bytes: Uint8Array, length: number = bytes.length): Pressure {
  const pressure: Pressure = {};
  let start = 0;
  while (start < length) {
    let end = start;
    let lastEquals = -1;
    while (end < length && bytes[end] !== newline) {
      if (bytes[end] === equals) lastEquals = end;
      end++;
    }
    if (holdsAt(bytes, lastEquals - total.length, total)) {
      const micros = decimalAt(bytes, lastEquals + 1, end);
      if (micros !== undefined && holdsAt(bytes, start, some)) pressure.someSeconds = micros / 1e6;
      if (micros !== undefined && holdsAt(bytes, start, full)) pressure.fullSeconds = micros / 1e6;
    }
    start = end + 1;
  }
  return pressure;
}

function holdsAt(bytes: Uint8Array, at: number, wanted: Uint8Array): boolean {
  for (let i = 0; i < wanted.length; i++) if (bytes[at + i] !== wanted[i]) return false;
  return true;
}

/** Of the last ten seconds, the share in which no task could run, in percent; `undefined` without PSI. */
export function stalledPercent(text: string): number | undefined {
  const share = /^full avg10=(\d+\.\d+)/m.exec(text)?.[1];
  return share === undefined ? undefined : Number(share);
}
