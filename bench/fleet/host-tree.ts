/**
 * The files of a host with many cgroups, for the real exporter to read: a Kubernetes node on cgroup v2
 * without swap, as most are, with pods, their containers and the host's own units.
 *
 * Everything but the cgroups is the fixture host `kubernetes-node`.
 */
import { cpSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Stands in every identifier that differs from host to host; eight hexadecimal digits. */
export const hostMark = "c0ffee00";

const mib = 2 ** 20;

/** A cgroup to be written: what it holds, and its own limit where it has one. */
interface Cgroup {
  path: string;
  usedBytes: number;
  limitBytes?: number;
}

/**
 * Writes the tree and returns how many cgroups have a limit of their own.
 * @param cgroups how many there are to be, the root not counted
 */
export function writeHostTree(rootfs: string, cgroups: number): number {
  cpSync("test/fixtures/hosts/kubernetes-node", rootfs, {
    recursive: true,
    verbatimSymlinks: true,
  });
  const root = join(rootfs, "sys/fs/cgroup");
  for (const name of ["kubepods.slice", "system.slice", "init.scope"]) {
    rmSync(join(root, name), { recursive: true, force: true });
  }
  const all = layout(cgroups);
  for (const cgroup of all) writeCgroup(root, cgroup);
  return all.filter(({ limitBytes }) => limitBytes !== undefined).length;
}

/** Three of four cgroups belong to pods, the rest to the host's units; two of three pods have a limit. */
function layout(count: number): Cgroup[] {
  const random = generator(1);
  const slices = ["/kubepods.slice", "/kubepods.slice/kubepods-burstable.slice", "/system.slice"];
  const pods = Math.floor(((count - slices.length) * 3) / 4 / 3);
  const units = count - slices.length - pods * 3;
  const cgroups: Cgroup[] = slices.map((path) => ({ path, usedBytes: 4096 * mib }));
  for (let pod = 0; pod < pods; pod++) {
    const limitBytes = pod % 3 === 2 ? undefined : (128 << (pod % 5)) * mib;
    // Most are far from their limits, as limits are set for peaks.
    const usedBytes = (limitBytes ?? 512 * mib) * (0.02 + 0.9 * random() ** 2);
    const uid = `${hostMark}_0000_4000_8000_${hexadecimal(pod, 12)}`;
    const path = `${slices[1]}/kubepods-burstable-pod${uid}.slice`;
    const scope = (container: number) =>
      `${path}/cri-containerd-${hostMark}${hexadecimal(pod * 2 + container, 56)}.scope`;
    cgroups.push({ path, usedBytes: usedBytes + mib, limitBytes });
    cgroups.push({ path: scope(0), usedBytes: mib });
    cgroups.push({ path: scope(1), usedBytes, limitBytes });
  }
  for (let unit = 0; unit < units; unit++) {
    const limitBytes = unit % 3 === 0 ? 512 * mib : undefined;
    const usedBytes = (limitBytes ?? 256 * mib) * (0.02 + 0.9 * random() ** 2);
    cgroups.push({ path: `/system.slice/app-${unit}.service`, usedBytes, limitBytes });
  }
  return cgroups;
}

function writeCgroup(root: string, { path, usedBytes, limitBytes }: Cgroup): void {
  const directory = join(root, path);
  mkdirSync(directory, { recursive: true });
  const pages = (share: number) => Math.round((usedBytes * share) / 4096) * 4096;
  const files = {
    "memory.current": pages(1),
    "memory.max": limitBytes ?? "max",
    "memory.high": "max",
    "memory.low": 0,
    "memory.min": 0,
    "memory.peak": pages(1.1),
    "memory.oom.group": 0,
    "memory.swap.current": 0,
    "memory.swap.max": "max",
    "memory.stat": `anon ${pages(0.8)}\nfile ${pages(0.15)}\nkernel ${pages(0.05)}\nshmem ${pages(0.01)}\ninactive_file ${pages(0.1)}`,
    "memory.events": events,
    "memory.events.local": events,
    "memory.pressure":
      "some avg10=0.00 avg60=0.00 avg300=0.00 total=8746\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=8746",
    "cgroup.procs": "",
    "cgroup.controllers": "memory pids",
  };
  for (const [name, text] of Object.entries(files))
    writeFileSync(join(directory, name), `${text}\n`);
}

const events = "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0";

function hexadecimal(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}

/** Uniform in [0, 1), the same for the same seed (a linear congruential generator). */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
