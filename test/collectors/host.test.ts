import { describe, expect, it } from "vitest";
import { HostCollector } from "../../src/collectors/host.ts";
import { FileUnavailable } from "../../src/sources/host-files.ts";
import { openHost } from "../setup/opened-host.ts";
import { TemporaryTree } from "../setup/temporary-tree.ts";
import { samplesOf } from "./samples.ts";

function minimalHost(): TemporaryTree {
  const host = new TemporaryTree();
  host.write("proc", { meminfo: "MemTotal: 1000 kB\nMemFree: 400 kB", vmstat: "pgmajfault 3" });
  return host;
}

function collect(tree: TemporaryTree, pageBytes = 4096) {
  const host = openHost(tree.roots, { pageBytes });
  return samplesOf(new HostCollector(host), host.snapshot());
}

describe("the host collector", () => {
  it("shows only what the kernel reports: without PSI, swap or oom_kill there is no series instead of 0", () => {
    const samples = collect(minimalHost());
    expect(Object.keys(samples).sort()).toEqual([
      "oom_host_major_faults_total",
      "oom_host_memory_free_bytes",
      "oom_host_memory_total_bytes",
      ...[
        "anon",
        "hugetlb",
        "kernel_stack",
        "other",
        "page_cache",
        "page_tables",
        "shmem",
        "slab_reclaimable",
        "slab_unreclaimable",
      ].map((kind) => `oom_host_memory_used_bytes{kind=${kind}}`),
    ]);
    expect(samples["oom_host_memory_used_bytes{kind=other}"]).toBe(600 * 1024);
  });

  it("has no count of kills in a container, because the kernel counts the whole host's", () => {
    const host = minimalHost();
    host.write("proc", { vmstat: "oom_kill 3", "1/status": "Name:\tinit", "2/comm": "kthreadd" });
    expect(collect(host).oom_kernel_kills_total).toBe(3);
    host.write("proc", { "2/comm": "bash" });
    expect(collect(host)).not.toHaveProperty("oom_kernel_kills_total");
    host.write("proc", { "2/comm": "kthreadd" });
    host.write("run/systemd", { container: "lxc" });
    expect(collect(host)).not.toHaveProperty("oom_kernel_kills_total");
  });

  it("counts swap traffic in bytes, by the size of this machine's pages", () => {
    const host = minimalHost();
    host.write("proc", { vmstat: "pswpin 2\npswpout 3" });
    expect(collect(host, 65536)).toMatchObject({
      oom_host_swap_in_bytes_total: 2 * 65536,
      oom_host_swap_out_bytes_total: 3 * 65536,
    });
  });

  it("shows stalls, and settings that this kernel has", () => {
    const host = minimalHost();
    host.write("proc/pressure", { memory: "some avg10=0.00 total=2500000\nfull total=0" });
    host.write("proc/sys/vm", { overcommit_memory: 2, swappiness: 60 });
    const samples = collect(host);
    expect(samples).toMatchObject({
      "oom_host_memory_stall_seconds_total{kind=some}": 2.5,
      "oom_host_memory_stall_seconds_total{kind=full}": 0,
      "oom_host_sysctl{name=vm.overcommit_memory}": 2,
      "oom_host_sysctl{name=vm.swappiness}": 60,
    });
    expect(samples).not.toHaveProperty("oom_host_sysctl{name=vm.panic_on_oom}");
  });

  it("fails without a valid meminfo", () => {
    const host = minimalHost();
    host.write("proc", { meminfo: "nonsense" });
    expect(() => collect(host)).toThrow("MemTotal");
    host.remove("proc/meminfo");
    expect(() => collect(host)).toThrow(FileUnavailable);
  });
});
