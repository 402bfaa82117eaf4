import { BoundedMap } from "../collections/bounded-map.ts";
import type { DaemonGrammar, DaemonKill, DaemonLine } from "./daemon-kill.ts";
import { EarlyoomGrammar } from "./earlyoom.ts";
import type { UserspaceKiller } from "./killer.ts";
import { KubeletGrammar } from "./kubelet.ts";
import { LmkdGrammar } from "./lmkd.ts";
import { NohangGrammar } from "./nohang.ts";
import { OomdGrammar } from "./systemd-oomd.ts";
import { TalosGrammar } from "./talos.ts";

const grammarOf: Record<UserspaceKiller, new () => DaemonGrammar> = {
  "systemd-oomd": OomdGrammar,
  earlyoom: EarlyoomGrammar,
  nohang: NohangGrammar,
  kubelet: KubeletGrammar,
  talos: TalosGrammar,
  lmkd: LmkdGrammar,
};

/** A daemon that was restarted has another process id; a log may hold many such. */
const writersKept = 32;

/** The lines of several daemons, mixed as in a log, each read by the grammar of its writer. */
export class DaemonGrammars {
  readonly #byWriter = new BoundedMap<string, DaemonGrammar>(writersKept);

  /** True while a daemon is in the middle of what it has to say. */
  get isOpen(): boolean {
    return [...this.#byWriter.values()].some((grammar) => grammar.isOpen);
  }

  read(line: DaemonLine): DaemonKill | undefined {
    const writer = `${line.killer} ${line.writerPid ?? ""}`;
    const grammar = this.#byWriter.get(writer) ?? new grammarOf[line.killer]();
    this.#byWriter.set(writer, grammar);
    return grammar.read(line);
  }

  /** Nothing more comes for now: the kills that waited for a further line. */
  settle(): DaemonKill[] {
    const settled = [...this.#byWriter.values()].map((grammar) => grammar.settle());
    return settled.filter((kill) => kill !== undefined);
  }
}
