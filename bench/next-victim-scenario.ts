/** Random scenarios before a kill: processes, their memory and cgroups, and the limit that is hit. Pure; one seed, one scenario. */

/** What one process of bench/next-victim.c does; sizes in KiB. */
export interface PlannedProcess {
  id: string;
  /** Path below the scenario's own cgroup, `/` for that itself; absent: it stays where it is made. */
  cgroup?: string;
  adj: number;
  anon: number;
  huge: number;
  /** Pages that each need a page table. */
  sparse: number;
  shared: number;
  file: number;
  pageout: number;
  children: number;
  touched: number;
  clones: number;
  leaderless: boolean;
  grows: boolean;
}

export interface ScenarioCgroup {
  /** Below the scenario's own cgroup, parents first. */
  path: string;
  /** Above what it holds; `undefined`: no limit. */
  roomKb?: number;
  /** memory.oom.group. */
  group: boolean;
}

export interface Scenario {
  seed: number;
  /** Whose limit is hit: a path in `cgroups`, or the host's memory. */
  scope: string;
  cgroups: ScenarioCgroup[];
  /** In the order in which they are made. */
  planned: PlannedProcess[];
}

/** What a machine can show. */
export interface Machine {
  version: "v1" | "v2";
  hasSwap: boolean;
  /** False without CAP_SYS_RESOURCE, which lowering oom_score_adj needs. */
  canProtect: boolean;
}

/** `mulberry32`: small, and the same everywhere. */
export function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Dice {
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = randomFrom(seed);
  }

  chance(share: number): boolean {
    return this.#random() < share;
  }

  within(from: number, to: number): number {
    return from + Math.floor(this.#random() * (to - from + 1));
  }

  of<Item>(items: readonly Item[]): Item {
    return items[this.within(0, items.length - 1)] as Item;
  }
}

/** So little is left when the exporter is asked: the growing one takes it within milliseconds. */
const lastRoomKb = 128;

/** A scenario in which the limit on a cgroup is hit. */
export function cgroupScenario(seed: number, machine: Machine): Scenario {
  const dice = new Dice(seed);
  const { scope, cgroups } = dice.of(layouts(dice));
  if (machine.version === "v2") for (const cgroup of cgroups) cgroup.group = dice.chance(0.25);
  const homes = cgroups
    .map(({ path }) => path)
    // v2 allows no processes beside cgroups that they are divided among.
    .filter((path) => machine.version === "v1" || !cgroups.some((other) => isBelow(other, path)));
  const inside = homes.filter((path) => path === scope || isBelow({ path }, scope));
  const planned = processes(dice, machine, 24_000, (grows) =>
    grows || dice.chance(0.8) ? dice.of(inside) : dice.of(homes),
  );
  return { seed, scope, cgroups, planned };
}

/** A scenario in which the whole machine runs out. */
export function hostScenario(seed: number, machine: Machine): Scenario {
  const dice = new Dice(seed);
  const cgroups = ["/", "/a", "/a/c", "/b"].map((path) => ({
    path,
    roomKb: dice.chance(0.2) ? 1 << 20 : undefined,
    group: machine.version === "v2" && dice.chance(0.25),
  }));
  const homes = machine.version === "v1" ? ["/", "/a", "/b"] : ["/a/c", "/b"];
  const planned = processes(dice, machine, 40_000, () =>
    dice.chance(0.2) ? undefined : dice.of(homes),
  );
  return { seed, scope: "host", cgroups, planned };
}

function isBelow({ path }: { path: string }, above: string): boolean {
  return path !== above && path.startsWith(above === "/" ? "/" : `${above}/`);
}

/** Which limits there are, and which of them is the one that is hit. */
function layouts(dice: Dice): { scope: string; cgroups: ScenarioCgroup[] }[] {
  const cgroup = (path: string, roomKb?: number) => ({ path, roomKb, group: false });
  const far = 1 << 20;
  const near = dice.within(2, 8) << 10;
  return [
    { scope: "/", cgroups: [cgroup("/", lastRoomKb)] },
    // The limit is the parent's, and its children have none.
    { scope: "/", cgroups: [cgroup("/", lastRoomKb), cgroup("/a"), cgroup("/b")] },
    // A child's limit is larger than its parent's.
    { scope: "/", cgroups: [cgroup("/", lastRoomKb), cgroup("/a", far)] },
    // Both are near, and it is the parent's that is hit, or the child's.
    { scope: "/", cgroups: [cgroup("/", lastRoomKb), cgroup("/a", near), cgroup("/b", near)] },
    { scope: "/a", cgroups: [cgroup("/", near), cgroup("/a", lastRoomKb), cgroup("/b")] },
    {
      scope: "/a",
      cgroups: [cgroup("/", far), cgroup("/a", lastRoomKb), cgroup("/a/c"), cgroup("/b", near)],
    },
    {
      scope: "/a/c",
      cgroups: [cgroup("/"), cgroup("/a", near), cgroup("/a/c", lastRoomKb), cgroup("/a/d")],
    },
  ];
}

function processes(
  dice: Dice,
  machine: Machine,
  largestKb: number,
  homeOf: (grows: boolean) => string | undefined,
): PlannedProcess[] {
  const count = dice.within(3, 15);
  const adjustments = [0, ...Array.from({ length: dice.within(0, 3) }, () => adjustment(dice))];
  const usualKb = dice.within(500, largestKb / 2);
  const planned: PlannedProcess[] = [];
  for (let i = 0; i < count; i++) {
    const before = i > 0 && dice.chance(0.1) ? dice.of(planned) : undefined;
    const adj = dice.of(adjustments);
    const plan = before ?? {
      ...shape(dice, machine, sizeOf(dice, usualKb, largestKb)),
      adj: machine.canProtect ? adj : Math.abs(adj) % 1000,
    };
    planned.push({ ...plan, id: `process-${i}`, cgroup: homeOf(false), grows: false });
  }
  const grower = dice.within(0, count - 1);
  const last = planned[grower] as PlannedProcess;
  planned[grower] = { ...last, ...bare, anon: 200, grows: true, cgroup: homeOf(true) };
  // Somebody has to be there to be killed.
  if (!planned.some(({ adj, grows }) => adj !== -1000 && !grows)) {
    const other = planned[grower === 0 ? 1 : 0] as PlannedProcess;
    other.adj = 0;
    other.cgroup = homeOf(true);
  }
  return planned;
}

function adjustment(dice: Dice): number {
  if (dice.chance(0.15)) return -1000;
  return dice.chance(0.6) ? dice.within(-60, 60) : dice.within(-1000, 1000);
}

/** Some are all but equal. */
function sizeOf(dice: Dice, usualKb: number, largestKb: number): number {
  if (dice.chance(0.4)) return usualKb + 4 * dice.within(-20, 20);
  return dice.within(200, dice.chance(0.5) ? largestKb : largestKb / 8);
}

/** A process that holds nothing. */
export const bare = {
  anon: 0,
  huge: 0,
  sparse: 0,
  shared: 0,
  file: 0,
  pageout: 0,
  children: 0,
  touched: 0,
  clones: 0,
  leaderless: false,
};

function shape(
  dice: Dice,
  machine: Machine,
  sizeKb: number,
): Omit<PlannedProcess, "id" | "adj" | "grows"> {
  const whole = { ...bare, anon: sizeKb };
  switch (dice.within(0, 9)) {
    case 0:
      return { ...whole, anon: sizeKb >> 1, sparse: sizeKb >> 4 };
    case 1:
      return { ...whole, anon: sizeKb >> 1, shared: sizeKb >> 1 };
    case 2:
      return { ...whole, anon: sizeKb >> 1, file: sizeKb >> 1 };
    case 3: {
      const children = dice.within(1, 4);
      return { ...whole, children, touched: dice.of([0, sizeKb >> 3, sizeKb >> 1, sizeKb]) };
    }
    case 4:
      return { ...whole, clones: dice.within(1, 2) };
    case 5:
      return { ...whole, leaderless: true };
    case 6:
      return { ...whole, huge: sizeKb };
    case 7:
      return { ...whole, pageout: machine.hasSwap ? sizeKb >> dice.within(0, 2) : 0 };
    default:
      return whole;
  }
}
