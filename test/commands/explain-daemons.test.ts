import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { explain } from "../../src/commands/explain.ts";
import type { AnyKill } from "../../src/killers/linked-kills.ts";

const kernelLog = gunzipSync(
  readFileSync(new URL("../fixtures/logs/memcg-v2-group.kern.log.gz", import.meta.url)),
).toString("latin1");

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "explain-daemons-"));
});
afterAll(() => rmSync(directory, { recursive: true }));

async function run(log: string, ...flags: string[]): Promise<string> {
  const path = join(directory, "syslog");
  writeFileSync(path, log, "latin1");
  let stdout = "";
  const code = await explain([...flags, path], {
    stdout: { write: (text) => (stdout += text) },
    stderr: { write: () => undefined },
    stdin: (async function* () {})(),
    clock: () => Date.parse("2026-11-21T00:00:00Z"),
    rootfs: directory,
    env: {},
  });
  expect(code).toBe(0);
  return stdout;
}

const killsOf = async (log: string): Promise<AnyKill[]> =>
  (await run(log, "--json"))
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

const line = (seconds: string, text: string) => `Nov 20 13:${seconds} web1 ${text}\n`;
const earlyoom = (seconds: string, pid: number, comm: string, signal = "SIGTERM") =>
  line(
    seconds,
    "earlyoom[712]: mem avail:   101 of  1987 MiB ( 5.11%), swap free:    0 of    0 MiB ( 0.00%)",
  ) +
  line(
    seconds,
    `earlyoom[712]: low memory! at or below ${signal} limits: mem 10.00%, swap 10.00%`,
  ) +
  line(
    seconds,
    `earlyoom[712]: sending ${signal} to process ${pid} uid 1000 "${comm}": badness 955, VmRSS 1640 MiB`,
  );
const oomd = line(
  "20:00",
  "systemd-oomd[611]: Killed /system.slice/batch.service due to memory pressure for /system.slice being 66.32% > 50.00% for > 20s with reclaim activity",
);

describe("explain of a log with daemons that kill", () => {
  it("prints the kill as JSON, with the fields of a kernel's kill and its own", async () => {
    const [kill, ...others] = await killsOf(earlyoom("10:00", 1234, "hog"));
    expect(others).toEqual([]);
    const [kernelKill] = await killsOf(kernelLog);
    expect(Object.keys(kernelKill ?? {}).filter((key) => !(key in (kill ?? {})))).toEqual([]);
    expect(kill).toMatchObject({
      incident: "0-earlyoom-1795180200-1234",
      killer: "earlyoom",
      time: "2026-11-20T13:10:00.000Z",
      pid: 1234,
      comm: "hog",
      uid: 1000,
      reason: "memory_available",
      signal: "SIGTERM",
      residentBytes: 1640 * 1024 * 1024,
      cause: "unknown",
      constraint: "unknown",
      linkedIncident: null,
      source: { name: "syslog", line: 3 },
    });
  });

  it("counts a victim that is signalled again once", async () => {
    const log = earlyoom("10:00", 7, "hog") + earlyoom("10:40", 7, "hog", "SIGKILL");
    expect(await killsOf(log)).toHaveLength(1);
    expect(await killsOf(log + earlyoom("12:00", 7, "hog"))).toHaveLength(2);
  });

  it("explains the kill: what was killed, why then, why this one, what to do", async () => {
    expect(await run(oomd)).toMatchInlineSnapshot(`
      "batch.service was killed by systemd-oomd at 2026-11-20 13:20:00 UTC [syslog:1]
        Why      systemd-oomd killed all processes of /system.slice/batch.service: memory pressure of
                 /system.slice was 66.32 % (limit 50 %) for more than 20s. It kills the cgroup below that
                 unit which reclaims the most, those with ManagedOOMPreference=avoid last.
        Where    unit batch.service, cgroup /system.slice/batch.service, killed as a group:
                 /system.slice/batch.service
        Do       - See what it monitors, its limits and what it would kill next:
                     oomctl
                 - Spare it while there are other candidates (omit: never kill it):
                     systemctl set-property batch.service ManagedOOMPreference=avoid
                 - It acts on the pressure of the unit above: raise ManagedOOMMemoryPressureLimit= there,
                   or give the unit more memory (MemoryMax= and MemoryHigh= cause pressure too).
                 - Runbook:
                     docs/runbooks/OomUserspaceKill.md
        Facts    reason memory_pressure
      "
    `);
    expect(await run(earlyoom("10:00", 1234, "hog"))).toMatchInlineSnapshot(`
      "hog (pid 1234) was sent SIGTERM by earlyoom at 2026-11-20 13:10:00 UTC [syslog:3]
        Why      earlyoom sent SIGTERM to hog (pid 1234, 1.6 GiB resident): 5.11 % of memory was available
                 (limit 10 %) and 0 % of swap was free (limit 10 %). It kills the process with the highest
                 oom_score (here 955), which --prefer raises and --avoid lowers by 300.
        Do       - To make it kill others first, add --avoid '^(hog)$' to EARLYOOM_ARGS in
                   /etc/default/earlyoom, and restart it:
                     systemctl restart earlyoom
                 - It acts while memory is left (-m, by default at 10 % available and 10 % of swap free):
                   on a host with much memory a lower -m gives back what it keeps free.
                 - Runbook:
                     docs/runbooks/OomUserspaceKill.md
        Facts    uid 1000, reason memory_available, 1.6 GiB resident
      "
    `);
  });

  it("lets no name end the quoted option that people paste", async () => {
    const text = await run(earlyoom("10:00", 1234, `' --dryrun '`));
    expect(text).toContain("add --avoid '^(. --dryrun .)$' to");
  });

  it("explains a process that the kernel killed too only once, and links both in JSON", async () => {
    const log = earlyoom("23:48", 226, "greedy") + kernelLog;
    const kills = await killsOf(log);
    const linked = kills.filter(({ linkedIncident }) => linkedIncident !== null);
    expect(linked.map(({ killer, pid }) => [killer, pid])).toEqual([
      ["kernel", 226],
      ["earlyoom", 226],
    ]);
    expect(linked[0]?.linkedIncident).toBe(linked[1]?.incident);
    expect(linked[1]?.linkedIncident).toBe(linked[0]?.incident);
    const story = await run(log);
    expect(story.match(/^greedy .*226/gm)).toHaveLength(1);
    expect(story).toContain("earlyoom had signalled it too, 2.0 s before");
  });

  it("prints kills in chronological order, whatever killed", async () => {
    const log = oomd + kernelLog + earlyoom("40:00", 7, "late");
    const kills = await killsOf(log);
    expect([kills[0]?.killer, kills.at(-1)?.killer]).toEqual(["systemd-oomd", "earlyoom"]);
    expect(kills.slice(1, -1).every(({ killer }) => killer === "kernel")).toBe(true);
  });

  it("escapes the name of a process", async () => {
    const story = await run(earlyoom("10:00", 1234, "\x1b[2Jhog"));
    expect(story).not.toContain("\x1b");
    expect(story).toContain("\\x1b[2Jhog");
  });

  it("leaves out kills before --since", async () => {
    expect(await run(oomd, "--since", "2026-11-20T14:00:00Z")).toContain("No out-of-memory kill");
  });
});

describe("explain of a log in which systemd speaks of a kill", () => {
  const byOomd = "systemd[1]: batch.service: systemd-oomd killed 3 process(es) in this unit.";
  const byKernel =
    "systemd[1]: shop.service: A process of this unit has been killed by the OOM killer.";
  const result = "systemd[1]: shop.service: Failed with result 'oom-kill'.";
  const kernelKill =
    "kernel: [    8.640407] Out of memory: Killed process 226 (greedy) total-vm:50304kB, anon-rss:48516kB, file-rss:4kB";

  it("says what systemd saw, once for a kill, instead of that there was none", async () => {
    const output = await run(line("20:01", byKernel) + line("20:03", result));
    expect(output.replace(/\s+/g, " ")).toBe(
      "systemd says that the kernel killed processes in unit shop.service for lack of memory, but the log has no line of the kill itself; see journalctl -k [syslog:1] ",
    );
  });

  it("names the killer, the number and where to look", async () => {
    const output = (await run(line("20:01", byOomd))).replace(/\s+/g, " ");
    expect(output).toContain("systemd-oomd killed 3 processes in unit batch.service");
    expect(output).toContain("see journalctl -u systemd-oomd [syslog:1]");
  });

  it("says that a unit ended, if that is all there is", async () => {
    const output = (await run(line("20:03", result))).replace(/\s+/g, " ");
    expect(output).toContain("unit shop.service ended because of an out-of-memory kill");
  });

  it("reads the journal's JSON", async () => {
    const entry = {
      __REALTIME_TIMESTAMP: "1795181030671745",
      _PID: "1",
      SYSLOG_IDENTIFIER: "systemd",
      UNIT: "batch.service",
      MESSAGE: "batch.service: systemd-oomd killed 3 process(es) in this unit.",
    };
    expect(await run(`${JSON.stringify(entry)}\n`)).toContain("systemd-oomd killed 3 processes");
  });

  it("adds nothing to a kill whose own line is there", async () => {
    const output = await run(oomd + line("20:01", byOomd));
    expect(output).toContain("batch.service");
    expect(output).not.toContain("systemd says");
    const kernels = await run(line("20:00", kernelKill) + line("20:01", byKernel));
    expect(kernels).not.toContain("systemd says");
  });

  it("speaks of another unit's kill beside a kill, where their times differ", async () => {
    const output = await run(line("10:00", kernelKill) + line("20:01", byOomd));
    expect(output.replace(/\s+/g, " ")).toContain("systemd says that systemd-oomd killed 3");
  });

  it("speaks of a unit whose name ends like that of the killed one", async () => {
    const output = await run(
      oomd + line("20:01", byOomd.replace("batch.service", "nightlybatch.service")),
    );
    expect(output.replace(/\s+/g, " ")).toContain("processes in unit nightlybatch.service");
  });

  it("finds what systemd saw at any place of a long log", async () => {
    const filler = line("25:00", "cron[4]: a line that means nothing").repeat(150_000);
    const ends = [filler, filler + line("30:00", kernelKill)];
    for (const end of ends) {
      const output = (await run(line("20:01", byOomd) + end)).replace(/\s+/g, " ");
      expect(output).toContain("systemd-oomd killed 3 processes in unit batch.service");
      expect(output).toContain("[syslog:1]");
    }
  });

  it("adds nothing to the first of thousands of kills", async () => {
    const later = Array.from({ length: 3000 }, (_, n) =>
      line("40:00", kernelKill.replace("process 226", `process ${1000 + n}`)),
    );
    const output = await run(oomd + line("20:01", byOomd) + later.join(""));
    expect(output).not.toContain("systemd says");
  });

  it("leaves out what is older than --since", async () => {
    const output = await run(line("20:01", byOomd), "--since", "2026-11-20T14:00:00Z");
    expect(output).not.toContain("systemd says");
  });

  const killOfShop =
    "kernel: [    8.640407] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/system.slice/shop.service,task=greedy,pid=226,uid=0";

  it("adds nothing to a kill if the unit took minutes to stop", async () => {
    const kill = line("00:59", killOfShop) + line("00:59", kernelKill);
    for (const end of ["02:05", "45:00"]) {
      expect(await run(kill + line(end, result))).not.toContain("systemd says");
    }
    const output = await run(line("00:59", byKernel) + line("02:05", result));
    expect(output.match(/systemd says/g)).toHaveLength(1);
  });

  it("speaks of each end of a unit that is restarted and killed again", async () => {
    const output = await run(
      ["00:00", "10:00", "20:00"].map((seconds) => line(seconds, result)).join(""),
    );
    expect(output.match(/systemd says/g)).toHaveLength(3);
  });

  it("adds nothing to a kill just before --since, by whomever", async () => {
    const since = ["--since", "2026-11-20T13:43:00Z"];
    const kernels = line("42:59", killOfShop) + line("42:59", kernelKill) + line("43:01", byKernel);
    expect(await run(kernels, ...since)).toMatch(/^No out-of-memory kill since/);
    const oomds = oomd.replace("13:20:00", "13:42:59") + line("43:01", byOomd);
    expect(await run(oomds, ...since)).toMatch(/^No out-of-memory kill since/);
    const output = await run(line("43:01", byKernel), ...since);
    expect(output).toContain("systemd says");
  });

  it("does not say that a kill has no line where a line looks like one", async () => {
    const unparsed = "kernel: [    8.640407] Out of memory: Killed process 226 (greedy)";
    const output = await run(line("20:00", unparsed) + line("20:01", byKernel));
    expect(output).toContain("1 line looks like a kill");
    expect(output).not.toContain("systemd says");
  });

  it("finds one that no kill explains behind any number of those that kills explain", async () => {
    const explained = Array.from({ length: 1200 }, (_, n) => {
      const unit = `job-${n}.service`;
      const seconds = `${String(Math.floor(n / 60)).padStart(2, "0")}:${String(n % 60).padStart(2, "0")}`;
      return (
        oomd.replace("13:20:00", `13:${seconds}`).replace("batch.service", unit) +
        line(seconds, byOomd.replace("batch.service", unit))
      );
    }).join("");
    const output = (await run(explained + line("50:00", byKernel), "--brief")).replace(/\s+/g, " ");
    expect(output.match(/systemd says/g)).toHaveLength(1);
    expect(output).toContain("in unit shop.service");
    expect(output).not.toContain("more without a line of the kill");
  });

  it("says how many it leaves out of very many", async () => {
    const many = Array.from({ length: 1003 }, (_, n) =>
      line("20:00", byOomd.replace("batch", `job-${n}`)),
    ).join("");
    const output = (await run(many)).replace(/\s+/g, " ");
    expect(output.match(/systemd says/g)).toHaveLength(1000);
    expect(output).toContain("3 more without a line of the kill are not shown.");
    expect(output).not.toContain("job-1000.service");
  });

  it("says that it may not know all where there are more than it keeps", async () => {
    const many = Array.from({ length: 50_001 }, (_, n) =>
      line("20:00", byOomd.replace("batch", `job-${n}`)),
    ).join("");
    const output = (await run(many)).replace(/\s+/g, " ");
    expect(output).toContain("49000 more without a line of the kill are not shown.");
    expect(output).toContain("The log says more of kills than is kept");
  });

  it("names the line of a log that has its newest line first", async () => {
    const newestFirst = [30, 20, 10, 0].map((second) =>
      line(
        `20:${String(second).padStart(2, "0")}`,
        second === 20 ? byKernel : `cron[4]: ${second}`,
      ),
    );
    expect(await run(newestFirst.join(""))).toContain("[syslog:2]");
  });

  it("is no kill in --json", async () => {
    expect(await killsOf(line("20:01", byOomd))).toEqual([]);
  });
});
