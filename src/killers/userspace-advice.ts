/** Advice on a kill by a program outside the kernel. */

import type { Owner } from "../kills/owner.ts";
import type { Advice } from "../kills/platforms.ts";
import { shellWord } from "../text/shell.ts";
import type { DaemonKill } from "./daemon-kill.ts";
import type { UserspaceKiller } from "./killer.ts";

const userspaceRunbook = "docs/runbooks/OomUserspaceKill.md";

interface Victim {
  cgroup: string | null;
  owner: Owner;
}

/** Most useful first; the last item names the runbook. */
export function userspaceAdvice(kill: DaemonKill, victim: Victim): Advice[] {
  return [...adviceOf[kill.killer](kill, victim), { text: `Runbook: ${userspaceRunbook}` }];
}

const adviceOf: Record<UserspaceKiller, (kill: DaemonKill, victim: Victim) => Advice[]> = {
  "systemd-oomd": ({ reason }, { owner }) => [
    {
      text: "See what it monitors, its limits and what it would kill next:",
      command: "oomctl",
    },
    owner.unit === null || owner.platform === "systemd_user"
      ? {
          text: "To spare a unit while there are other candidates, set ManagedOOMPreference=avoid in the unit, or omit for never. In a user's unit this works only if root owns its cgroup.",
        }
      : {
          text: "Spare it while there are other candidates (omit: never kill it):",
          command: `systemctl set-property ${shellWord(owner.unit)} ManagedOOMPreference=avoid`,
        },
    reason === "swap"
      ? {
          text: "It acts when memory and swap are used up to SwapUsedLimit= in /etc/systemd/oomd.conf (90 % by default): add swap, or find what uses it.",
        }
      : {
          text: "It acts on the pressure of the unit above: raise ManagedOOMMemoryPressureLimit= there, or give the unit more memory (MemoryMax= and MemoryHigh= cause pressure too).",
        },
  ],
  earlyoom: ({ comm = "" }) => [
    {
      text: `To make it kill others first, add --avoid '^(${regexOf(comm)})$' to EARLYOOM_ARGS in /etc/default/earlyoom, and restart it:`,
      command: "systemctl restart earlyoom",
    },
    {
      text: "It acts while memory is left (-m, by default at 10 % available and 10 % of swap free): on a host with much memory a lower -m gives back what it keeps free.",
    },
  ],
  nohang: ({ comm = "" }) => [
    {
      text: `To make it kill others first, add @BADNESS_ADJ_RE_NAME -500 /// ^${regexOf(comm)}$ to /etc/nohang/nohang.conf, and restart it:`,
      command: "systemctl restart nohang",
    },
    {
      text: "Its limits are soft_threshold_min_mem and hard_threshold_min_mem there, and soft_threshold_max_psi where psi_checking_enabled is True.",
    },
  ],
  kubelet: (_kill, { owner }) => [
    {
      text: "Request what the pod needs: pods that use more than they request are evicted first.",
      command: `kubectl describe pod -n ${shellWord(owner.namespace ?? "default")} ${shellWord(owner.pod ?? "")}`,
    },
    {
      text: "The node is overcommitted: lower the pods' limits towards their requests, raise --kube-reserved and --system-reserved, or --eviction-hard=memory.available if the node should use more of its memory.",
    },
  ],
  talos: () => [
    {
      text: "See what it killed and why:",
      command: "talosctl get oomactions -o yaml",
    },
    {
      text: "BestEffort pods are killed first: give the pod requests and limits. The trigger is an expression in an OOMConfig document of the machine's configuration.",
    },
  ],
  lmkd: () => [
    {
      text: "A foreground app that is killed uses too much memory; see what it holds:",
      command: "dumpsys meminfo",
    },
  ],
};

/**
 * A name as an extended regular expression that people paste between quotes. A control character and a quote fit any
 * character.
 */
function regexOf(name: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return name.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&").replace(/[\x00-\x1f\x7f'"]/g, ".");
}
