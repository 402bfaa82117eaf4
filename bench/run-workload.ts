/** The process that `record-series` starts: NAME BEGAN_MS SEED DISK_DIRECTORY SHM_DIRECTORY. */
import { hostWorkloads, workloads } from "./workloads.ts";

const [name = "", beganMs, seed, diskDirectory = "", shmDirectory = ""] = process.argv.slice(2);
const startedMs = Date.now();
let state = Number(seed) >>> 0;

const workload = workloads[name] ?? hostWorkloads[name];
if (workload === undefined) throw new Error(`no workload is called ${name}`);
workload.run({
  minute: () => (Date.now() - Number(beganMs)) / 60_000,
  age: () => (Date.now() - startedMs) / 60_000,
  random() {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  },
  diskDirectory,
  shmDirectory,
  everySecond(step) {
    let lastMs = Date.now();
    setInterval(() => {
      const nowMs = Date.now();
      step((nowMs - lastMs) / 1000);
      lastMs = nowMs;
    }, 1000);
  },
});
