/**
 * Talos' OOM controller - siderolabs/talos,
 * `internal/app/machined/pkg/controllers/runtime/oom.go`, since Talos 1.12. By its source and by public
 * logs: no line here was recorded from a Talos of our own. Only `explain` reads it.
 *
 * Takes a whole cgroup by `cgroup.kill` when the host's memory pressure (PSI) is above its trigger.
 *
 *   line     = "user: warning: [" TIME "]: [talos] " text " " JSON
 *   kill     = "Sending SIGKILL to cgroup" {"cgroup": "/sys/fs/cgroup/" PATH}
 *   victims  = "victim processes:" {"processes": [PID ...]}
 *   no kill  = "failed to send SIGKILL" | "victim processes:" with an empty list
 *
 *   user: warning: [2026-08-11T17:20:38Z]: [talos] Sending SIGKILL to cgroup {"component": "controller-runtime", "controller": "runtime.OOMController", "cgroup": "/sys/fs/cgroup/kubepods/burstable/podc11937f9-989d-48ba-8453-06d2baa9392b"}
 *   user: warning: [2026-08-11T17:20:38Z]: [talos] victim processes: {"component": "controller-runtime", "controller": "runtime.OOMController", "processes": [4021, 4077]}
 */
import { parseJson, recordOf } from "../kernel-log/log-object.ts";
import { type DaemonGrammar, type DaemonKill, type DaemonLine, stampsOf } from "./daemon-kill.ts";

const kill = /^Sending SIGKILL to cgroup (\{.*)$/s;
const victims = /^victim processes: (\{.*)$/s;
const failed = /^failed to send SIGKILL\b/;
const cgroupMount = "/sys/fs/cgroup";

export class TalosGrammar implements DaemonGrammar {
  #pending: DaemonKill | undefined;

  get isOpen(): boolean {
    return this.#pending !== undefined;
  }

  read(line: DaemonLine): DaemonKill | undefined {
    const { text } = line;
    const names = victims.exec(text)?.[1];
    if (names !== undefined) {
      if (isEmpty(fieldOf(names, "processes"))) this.#pending = undefined;
      return undefined;
    }
    const before = failed.test(text) ? undefined : this.#pending;
    this.#pending = undefined;
    const fields = kill.exec(text)?.[1];
    const directory = fields === undefined ? undefined : fieldOf(fields, "cgroup");
    if (typeof directory === "string" && directory.startsWith(`${cgroupMount}/`)) {
      this.#pending = {
        killer: "talos",
        reason: "memory_pressure",
        cgroup: directory.slice(cgroupMount.length),
        signal: "SIGKILL",
        readings: {},
        ...stampsOf(line),
      };
    }
    return before;
  }

  settle(): DaemonKill | undefined {
    const settled = this.#pending;
    this.#pending = undefined;
    return settled;
  }
}

function isEmpty(list: unknown): boolean {
  return list === null || (Array.isArray(list) && list.length === 0);
}

/** A line is cut off at 976 bytes, so its JSON may be incomplete. */
function fieldOf(json: string, name: string): unknown {
  return recordOf(parseJson(json))?.[name];
}
