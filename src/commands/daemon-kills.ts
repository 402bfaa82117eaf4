import type { DaemonKill } from "../killers/daemon-kill.ts";
import { linkedTo } from "../killers/linked-kills.ts";
import {
  incidentOf,
  sameKillMs,
  sightingOf,
  UserspaceIdentities,
} from "../killers/userspace-identity.ts";
import { killOfDaemon, type UserspaceKill } from "../killers/userspace-kill.ts";
import type { Kill } from "../kills/kill.ts";
import { ownerOfCgroup } from "../kills/owner.ts";

/** Kills by daemons found in the logs, each once, kept until their turn among the kernel's kills comes. */
export class DaemonKills {
  readonly #identities = new UserspaceIdentities();
  #waiting: UserspaceKill[] = [];

  take(kill: DaemonKill, sourceName: string): void {
    const sighting = sightingOf(kill, undefined);
    if (this.#identities.find(sighting) !== undefined) {
      this.#identities.extend(sighting);
      return;
    }
    const incident = incidentOf(sighting);
    this.#identities.add({ ...sighting, incident });
    this.#waiting.push(killOfDaemon(kill, { incident, sourceName, ownerOf: ownerOfCgroup }));
  }

  get areWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** The waiting daemon kill of a process that the kernel also killed; the two are linked from now on. */
  link(kernelKill: Kill): UserspaceKill | undefined {
    const linked = linkedTo(kernelKill, this.#waiting);
    if (linked !== undefined) linked.linkedIncident = kernelKill.incident;
    return linked;
  }

  /**
   * Those that have waited long enough: more than a minute older than `untilMs`, so that no kernel kill can be of the same
   * process. All of them if it is absent.
   */
  drain(untilMs = Number.POSITIVE_INFINITY): UserspaceKill[] {
    const isDue = ({ time }: UserspaceKill): boolean =>
      time === null
        ? untilMs === Number.POSITIVE_INFINITY
        : Date.parse(time) < untilMs - sameKillMs;
    const due = this.#waiting.filter(isDue);
    this.#waiting = this.#waiting.filter((kill) => !isDue(kill));
    return due;
  }
}
