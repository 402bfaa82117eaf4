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

/** A restarted daemon has another process id; a log may contain many. */
const writersKept = 32;

/** The lines of several daemons, mixed as in a log, each parsed by the grammar of its writer. */
export class DaemonGrammars {
  /** The one that wrote last comes last. */
  readonly #byWriter = new Map<string, DaemonGrammar>();

  /** True while a daemon's message is incomplete. */
  get isOpen(): boolean {
    return [...this.#byWriter.values()].some((grammar) => grammar.isOpen);
  }

  /** The kills that this line shows, or completes. */
  read(line: DaemonLine): DaemonKill[] {
    const writer = `${line.killer} ${line.writerPid ?? ""}`;
    const grammar = this.#byWriter.get(writer) ?? new grammarOf[line.killer]();
    this.#byWriter.delete(writer);
    this.#byWriter.set(writer, grammar);
    return [this.#forgetOldest(), grammar.read(line)].filter((kill) => kill !== undefined);
  }

  /** If there are too many: its last kill no longer waits for another line. */
  #forgetOldest(): DaemonKill | undefined {
    if (this.#byWriter.size <= writersKept) return undefined;
    const [writer, grammar] = this.#byWriter.entries().next().value as [string, DaemonGrammar];
    this.#byWriter.delete(writer);
    return grammar.settle();
  }

  /** Nothing more comes for now: returns the kills that waited for another line. */
  settle(): DaemonKill[] {
    const settled = [...this.#byWriter.values()].map((grammar) => grammar.settle());
    return settled.filter((kill) => kill !== undefined);
  }
}
