import { describe, expect, it } from "vitest";
import type { DaemonKill } from "../../src/killers/daemon-kill.ts";
import { DaemonScanner } from "../../src/killers/daemon-scanner.ts";
import { fieldsOf, killsIn } from "./daemon-log.ts";

const head = "Oct 12 19:34:45 node1 kubelet[2480]: ";
const klog = (text: string) =>
  `${head}I1012 19:34:45.445172    2480 eviction_manager.go:595] ${text}\n`;
const memory = klog('"Eviction manager: must evict pod(s) to reclaim" resourceName="memory"');
const evicted = klog('"Eviction manager: pod is evicted successfully" pod="default/nginx"');

describe("the kubelet's lines (by its source and public logs)", () => {
  it("are a kill of a pod if the node is short of memory", () => {
    expect(fieldsOf(killsIn(memory + evicted))).toEqual([
      { killer: "kubelet", reason: "eviction", namespace: "default", pod: "nginx", readings: {} },
    ]);
  });

  it("of versions before 1.20 name the pod's uid", () => {
    const log =
      klog("eviction manager: must evict pod(s) to reclaim memory") +
      klog(
        "eviction manager: pod nginx_default(7d1f5a52-0b7c-4d4a-9d53-0b8f1a1c8a11) is evicted successfully",
      );
    expect(fieldsOf(killsIn(log))).toMatchObject([
      { namespace: "default", pod: "nginx", podUid: "7d1f5a52-0b7c-4d4a-9d53-0b8f1a1c8a11" },
    ]);
  });

  it("carry the threshold if the kubelet prints its event", () => {
    const event = klog(
      '"Event occurred" object="default/nginx" reason="Evicted" message="The node was low on resource: memory. Threshold quantity: 100Mi, available: 92Mi. Container app was using 1Gi."',
    );
    expect(fieldsOf(killsIn(memory + event + evicted))).toMatchObject([
      { readings: { thresholdQuantity: "100Mi", availableQuantity: "92Mi" } },
    ]);
  });

  it.each([
    [
      "for disk",
      klog('"Eviction manager: must evict pod(s) to reclaim" resourceName="ephemeral-storage"'),
    ],
    ["of a pod that used too much storage itself", ""],
    [
      "that failed before",
      memory + klog('"Eviction manager: pod failed to evict" pod="default/a"'),
    ],
    ["after the one for which memory was short", memory + evicted.replace("nginx", "first")],
  ])("of an eviction %s are no kill for memory", (_case, before) => {
    expect(killsIn(before + evicted).filter(({ pod }) => pod === "nginx")).toEqual([]);
  });

  it("of k3s go by another name", () => {
    expect(killsIn((memory + evicted).replaceAll("kubelet[", "k3s["))).toHaveLength(1);
  });
});

const talos = (text: string) =>
  `172.20.0.2: user: warning: [2026-08-11T17:20:38Z]: [talos] ${text}\n`;
const reap = talos(
  'Sending SIGKILL to cgroup {"component": "controller-runtime", "controller": "runtime.OOMController", "cgroup": "/sys/fs/cgroup/kubepods/burstable/podc11937f9-989d-48ba-8453-06d2baa9392b"}',
);
const victims = (list: string) =>
  talos(`victim processes: {"controller": "runtime.OOMController", "processes": ${list}}`);

describe("Talos' lines (by its source and public logs)", () => {
  it("are a kill of a cgroup", () => {
    expect(fieldsOf(killsIn(reap + victims("[4021, 4077]"), { copied: true }))).toEqual([
      {
        killer: "talos",
        reason: "memory_pressure",
        cgroup: "/kubepods/burstable/podc11937f9-989d-48ba-8453-06d2baa9392b",
        signal: "SIGKILL",
        readings: {},
      },
    ]);
  });

  it("are no kill if the cgroup was empty or could not be killed", () => {
    expect(killsIn(reap + victims("[]"), { copied: true })).toEqual([]);
    expect(killsIn(reap + talos("failed to send SIGKILL {}"), { copied: true })).toEqual([]);
  });
});

describe("lmkd's lines (by its source and public logs)", () => {
  it("are of the day before where the new year has begun east of Greenwich only", () => {
    const kills: DaemonKill[] = [];
    const auckland = {
      nowMs: () => Date.parse("2026-12-31T12:00:00Z"),
      zone: { offsetSeconds: () => 13 * 3600 },
    };
    const scanner = new DaemonScanner({ clock: auckland, copied: true }, (kill) =>
      kills.push(kill),
    );
    const line =
      "01-01 00:30:00.000   479   479 I lowmemorykiller: Kill 'com.android.settings' (17757), uid 1010174, oom_score_adj 900 to free 4445960kB rss, 3990164kB anon rss, 2413008kB swap; reason: low watermark is breached\n";
    scanner.push(Buffer.from(line));
    scanner.endOfInput();
    expect(kills.map(({ timeMs }) => timeMs)).toEqual([Date.parse("2026-12-31T11:30:00Z")]);
  });

  const line =
    "07-28 10:46:14.514   479   479 I lowmemorykiller: Kill 'com.tcs.assistant' (17757), uid 1010174, oom_score_adj 0 to free 4445960kB rss, 3990164kB anon rss, 2413008kB swap, 0kB dmabuf_pss, 0kB dmabuf_rss; reason: ";

  it.each([
    ["min watermark is breached even after kill", "memory_available"],
    ["device is low on swap (1024kB < 2048kB) and thrashing (120%)", "swap"],
    ["device is not responding", "memory_pressure"],
    ["unknown", "other"],
  ])("are a kill, their words its reason: %s", (words, reason) => {
    expect(fieldsOf(killsIn(`${line}${words}\n`, { copied: true }))).toEqual([
      {
        killer: "lmkd",
        reason,
        pid: 17757,
        comm: "com.tcs.assistant",
        uid: 1010174,
        oomScoreAdj: 0,
        signal: "SIGKILL",
        rssBytes: 4445960 * 1024,
        swapBytes: 2413008 * 1024,
        readings: { words },
      },
    ]);
  });

  it("give the day of the last year that has passed", () => {
    const [kill] = killsIn(`${line}unknown\n`, { copied: true });
    expect(new Date(kill?.timeMs ?? 0).toISOString()).toBe("2026-07-28T10:46:14.514Z");
  });
});
