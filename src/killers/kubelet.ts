/**
 * kubelet - Kubernetes' `pkg/kubelet/eviction/eviction_manager.go`. By its source and by public logs: no
 * line here was recorded from a kubelet of our own.
 *
 * Evicts one pod at a time when the node is short of something; only memory counts here.
 *
 *   line     = [IWEF] MMDD " " TIME " " N " " FILE ":" N "] " text
 *   short    = '"Eviction manager: must evict pod(s) to reclaim" resourceName="' RESOURCE '"'    (since 1.20)
 *            | "eviction manager: must evict pod(s) to reclaim " RESOURCE                       (before)
 *   kill     = '"Eviction manager: pod is evicted successfully" pod="' NAMESPACE "/" POD '"'
 *            | "eviction manager: pod " POD "_" NAMESPACE "(" UID ") is evicted successfully"
 *   no kill  = "Eviction manager: pod failed to evict" | "Eviction manager: unable to evict any pods"
 *   words    = "The node was low on resource: memory. [Threshold quantity: " Q ", available: " Q ". ]"
 *
 *   I1012 19:34:43.120931    2480 eviction_manager.go:368] "Eviction manager: must evict pod(s) to reclaim" resourceName="memory"
 *   I1012 19:34:45.445172    2480 eviction_manager.go:595] "Eviction manager: pod is evicted successfully" pod="default/nginx"
 */
import {
  type DaemonGrammar,
  type DaemonKill,
  type DaemonLine,
  type KillReadings,
  stampsOf,
} from "./daemon-kill.ts";

const klogHead = /^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ [\w.-]+:\d+\] /;
const mustEvict =
  /^"?[Ee]viction manager: must evict pod\(s\) to reclaim(?:" resourceName="| )([\w./-]+)/;
const evicted =
  /^"Eviction manager: pod is evicted successfully" pod="([a-z0-9.-]{1,253})\/([a-z0-9.-]{1,253})"/;
const evictedBefore =
  /^eviction manager: pod ([a-z0-9.-]{1,253})_([a-z0-9.-]{1,253})\(([0-9a-f-]{32,36})\) is evicted successfully/;
const notEvicted =
  /^"?[Ee]viction manager: (?:pod failed to evict|pod \S+ failed to evict|unable to evict any pods)/;
const quantities =
  /The node was low on resource: memory\. Threshold quantity: ([\w.]{1,20}), available: ([\w.]{1,20})\. /;

export class KubeletGrammar implements DaemonGrammar {
  /** What the kubelet wants to reclaim; it evicts one pod, then checks again. */
  #resource: string | undefined;
  #readings: KillReadings = {};

  get isOpen(): boolean {
    return this.#resource === "memory";
  }

  read(line: DaemonLine): DaemonKill | undefined {
    const text = line.text.replace(klogHead, "");
    const threshold = quantities.exec(text);
    if (threshold !== null) {
      this.#readings = { thresholdQuantity: threshold[1], availableQuantity: threshold[2] };
    }
    const wanted = mustEvict.exec(text);
    if (wanted !== null) this.#resource = wanted[1];
    if (notEvicted.test(text)) this.#forget();
    const pod = podOf(text);
    if (pod === undefined) return undefined;
    const isForMemory = this.#resource === "memory";
    const readings = this.#readings;
    this.#forget();
    if (!isForMemory) return undefined;
    return { killer: "kubelet", reason: "eviction", ...pod, readings, ...stampsOf(line) };
  }

  settle(): undefined {
    return undefined;
  }

  #forget(): void {
    this.#resource = undefined;
    this.#readings = {};
  }
}

function podOf(text: string): Pick<DaemonKill, "pod" | "namespace" | "podUid"> | undefined {
  const now = evicted.exec(text);
  if (now !== null) return { namespace: now[1], pod: now[2] };
  const before = evictedBefore.exec(text);
  return before === null ? undefined : { pod: before[1], namespace: before[2], podUid: before[3] };
}
