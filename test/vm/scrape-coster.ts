import { exporter, floors, quietLog } from "../../bench/cost/contenders.ts";
import { costsAt } from "../../bench/cost/scrape.ts";

/** The bench's scrape row inside a guest. Arguments: processes, cgroups, scrapes. Prints the costs as JSON. */
const [processes = 0, cgroups = 0, scrapes = 0] = process.argv.slice(2).map(Number);
const costs = await costsAt(
  { processes, cgroups },
  [
    exporter({
      command: [process.execPath, "--single-threaded", "/share/dist/oom-exporter.mjs"],
      flags: [`--kernel-log.file=${quietLog()}`, "--collector.cgroups.max=20000"],
    }),
    ...floors,
  ],
  scrapes,
  // An emulated processor is slow for all alike.
  { warmUp: 40, slowMs: Number.POSITIVE_INFINITY },
);
console.log(`costs ${JSON.stringify(Object.fromEntries(costs))}`);
