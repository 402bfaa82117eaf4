/** The programs outside the kernel that kill for memory, and how their lines are recognised. */

const userspaceKillers = [
  "systemd-oomd",
  "earlyoom",
  "nohang",
  "kubelet",
  "talos",
  "lmkd",
] as const;

export type UserspaceKiller = (typeof userspaceKillers)[number];

/** What each is called in a sentence. */
export const killerTitles: Record<UserspaceKiller, string> = {
  "systemd-oomd": "systemd-oomd",
  earlyoom: "earlyoom",
  nohang: "nohang",
  kubelet: "the kubelet",
  talos: "Talos' OOM controller",
  lmkd: "lmkd",
};

/** Killers whose log can be followed on a live host; only `explain` reads the others. */
export const followedKillers = ["systemd-oomd", "earlyoom", "nohang", "kubelet"] as const;

export type FollowedKiller = (typeof followedKillers)[number];

const killReasons = [
  /** Processes waited for memory (PSI) for longer than the killer allows. */
  "memory_pressure",
  /** Swap was used up. */
  "swap",
  /** Too little memory was available. */
  "memory_available",
  /** The kubelet evicted a pod because the node was short of memory. */
  "eviction",
  "other",
] as const;

export type KillReason = (typeof killReasons)[number];

/** Identifiers and units of a daemon. A unit cannot be forged in the journal, an identifier can. */
export interface DaemonNames {
  identifiers: readonly string[];
  units: readonly string[];
  /** Path of its executable, below the root file system. */
  executables: readonly string[];
}

export const daemonNames: Record<FollowedKiller, DaemonNames> = {
  "systemd-oomd": {
    identifiers: ["systemd-oomd"],
    units: ["systemd-oomd.service"],
    executables: ["usr/lib/systemd/systemd-oomd", "lib/systemd/systemd-oomd"],
  },
  earlyoom: {
    identifiers: ["earlyoom"],
    units: ["earlyoom.service"],
    executables: ["usr/bin/earlyoom", "usr/sbin/earlyoom", "usr/local/bin/earlyoom"],
  },
  nohang: {
    identifiers: ["nohang", "nohang-desktop"],
    units: ["nohang.service", "nohang-desktop.service"],
    executables: [
      "usr/sbin/nohang",
      "usr/bin/nohang",
      "usr/local/sbin/nohang",
      "usr/local/bin/nohang",
    ],
  },
  kubelet: {
    // Processes that include a kubelet have the distribution's own name.
    identifiers: ["kubelet", "k3s", "rke2", "k0s", "microk8s.daemon-kubelite"],
    units: [
      "kubelet.service",
      "k3s.service",
      "k3s-agent.service",
      "rke2-server.service",
      "rke2-agent.service",
      "k0scontroller.service",
      "k0sworker.service",
      "snap.microk8s.daemon-kubelite.service",
    ],
    executables: [
      "usr/bin/kubelet",
      "usr/local/bin/kubelet",
      "usr/local/bin/k3s",
      "var/lib/kubelet",
    ],
  },
};

/** How these daemons show that they are on a host. */
export function placesOf(killers: readonly FollowedKiller[]) {
  return killers.map((name) => ({ name, ...daemonNames[name] }));
}

/** The name of a daemon in syslog and in the journal. */
const killerOfIdentifier = new Map<string, UserspaceKiller>([
  ...followedKillers.flatMap((killer) =>
    daemonNames[killer].identifiers.map((name) => [name, killer] as const),
  ),
  ["talos", "talos"],
  ["lowmemorykiller", "lmkd"],
]);

/** The daemon with this name; `undefined` for every other program. */
export function killerOfName(identifier: string): UserspaceKiller | undefined {
  return killerOfIdentifier.get(identifier);
}
