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
 * "total" is in microseconds. The averages are left out: Prometheus makes better ones from the total.
 */

/** Time lost to memory stalls since boot, in seconds. */
export interface Pressure {
  /** At least one task waited. */
  someSeconds?: number;
  /** No task could run. */
  fullSeconds?: number;
}

const total = /^(some|full) .*?\btotal=(\d+)/gm;

/** Parses a pressure file. Lines of other kinds are passed over. */
export function parsePressure(text: string): Pressure {
  const pressure: Pressure = {};
  for (const [, kind, micros] of text.matchAll(total)) {
    pressure[kind === "some" ? "someSeconds" : "fullSeconds"] = Number(micros) / 1e6;
  }
  return pressure;
}
