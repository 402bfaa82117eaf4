// Lines of a kernel log by number: every tenth is a group event's second naming of its victim, every
// thousandth boot begins with the pids and the printk times of the one before.

const linesPerBoot = 1000;

/** As many of the first lines as are kills of their own. */
export function killsIn(lines) {
  let kills = 0;
  for (let line = 0; line < lines; line++) if (!isRepeat(line)) kills++;
  return kills;
}

export function linesBetween(from, to) {
  return Array.from({ length: to - from }, (_, index) => entryOf(from + index));
}

function isRepeat(line) {
  return line % 10 === 9;
}

function entryOf(line) {
  const victim = isRepeat(line) ? line - 1 : line;
  const inBoot = line % linesPerBoot;
  const pid = 300 + (victim % linesPerBoot);
  const printkMicros = 8_000_000 + inBoot * 1000;
  const boot = String(Math.floor(line / linesPerBoot)).padStart(32, "0");
  const sighting = {
    boot,
    pid,
    comm: "hog",
    printkMicros,
    timeMs: 1_700_000_000_000 + line,
    text: `Memory cgroup out of memory: Killed process ${pid} (hog) total-vm:${victim}kB`,
    repeatsVictim: false,
    inGroup: victim % 10 === 8,
    reread: false,
  };
  const owner = { unit: null, container: null, containerId: null, runtime: null };
  const kill = {
    incident: `${boot.slice(0, 8)}-${printkMicros}-${pid}`,
    pid,
    comm: `hog-${victim % 7}`,
    constraint: victim % 2 === 0 ? "memcg" : "none",
    cgroup: `/job-${victim % 60}`,
    limitCgroup: null,
    owner: { ...owner, pod: null, podUid: null, namespace: null },
    cause: "unknown",
    trigger: null,
    oomScoreAdj: 0,
    tasks: [],
  };
  return { sighting, kill, history: false };
}
