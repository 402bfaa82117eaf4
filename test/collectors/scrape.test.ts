import { gunzipSync } from "node:zlib";
import { beforeEach, describe, expect, it } from "vitest";
import { type Collector, type CollectorPass, NoData } from "../../src/collectors/collector.ts";
import { Scraper, type ScraperOptions } from "../../src/collectors/scrape.ts";
import type { CollectorName } from "../../src/metrics/catalog.ts";
import type { CgroupReadings } from "../../src/sources/cgroup-tree.ts";
import type { Snapshot } from "../../src/sources/snapshot.ts";
import { snapshotOf } from "../setup/opened-host.ts";

const plain = { format: "text", gzip: false } as const;

let clockMs: number;
let kills: number;
let logged: string[];
let runs: string[];

beforeEach(() => {
  clockMs = 1000;
  kills = 0;
  logged = [];
  runs = [];
});

function collector(name: CollectorName, collect: (pass: CollectorPass) => void): Collector {
  return {
    name,
    collect(pass) {
      runs.push(name);
      collect(pass);
    },
  };
}

function scraperOf(...collectors: Collector[]): Scraper {
  return scraperWith({ collectors });
}

function scraperWith(options: Partial<ScraperOptions>): Scraper {
  const say = (level: string) => (fields: object, message: string) => {
    logged.push(`${level} ${message} ${JSON.stringify(fields)}`);
  };
  return new Scraper({
    collectors: [],
    snapshot: () => snapshotOf(),
    keepers: [],
    killsRead: () => kills,
    addOwnSamples: (samples) => samples.add("process_open_fds", 7, {}),
    now: () => clockMs,
    rest: async () => {},
    log: { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") },
    ...options,
  });
}

const host = collector("host", ({ sink }) => sink.add("oom_kernel_kills_total", 1, {}));

/** One scrape as lines of samples, long after the one before. */
async function scrape(scraper: Scraper, request = {}): Promise<string[]> {
  clockMs += 60_000;
  const body = await scraper.scrape(request, plain);
  return body
    .toString()
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
}

describe("a scrape", () => {
  it("contains the samples of collectors and exporter, and each collector's success", async () => {
    const slow = collector("log", () => {
      clockMs += 250;
    });
    expect(await scrape(scraperOf(host, slow))).toEqual([
      "oom_kernel_kills_total 1",
      'oom_scrape_collector_success{collector="host"} 1',
      'oom_scrape_collector_success{collector="log"} 1',
      'oom_scrape_collector_duration_seconds{collector="host"} 0',
      'oom_scrape_collector_duration_seconds{collector="log"} 0.25',
      "process_open_fds 7",
    ]);
  });

  it("of a large host lets others have their turn, which is no time of the collector's", async () => {
    const cgroups = { readings: [], filtered: 0, beyondLimit: 0, unreadable: 0 };
    const steps = {
      *cgroups() {
        for (let step = 0; step < 5; step++) {
          clockMs += 10;
          yield;
        }
        return cgroups;
      },
      processes: () => {
        throw new Error("nobody asks for them");
      },
    };
    let rests = 0;
    const scraper = scraperWith({
      collectors: [{ ...collector("cgroups", () => {}), reads: ["cgroups"] }],
      snapshot: () => snapshotOf({}, steps),
      rest: async () => {
        rests++;
        clockMs += 1000;
      },
    });
    expect(await scrape(scraper)).toContain(
      'oom_scrape_collector_duration_seconds{collector="cgroups"} 0.05',
    );
    expect(rests).toBe(2);
  });

  it("drops the samples of a failing collector and keeps all others", async () => {
    const torn = collector("cgroups", ({ sink }) => {
      sink.add("oom_cgroups", 5, {});
      throw new Error("EIO");
    });
    const lines = await scrape(scraperOf(torn, host));
    expect(lines).toContain('oom_scrape_collector_success{collector="cgroups"} 0');
    expect(lines).toContain("oom_kernel_kills_total 1");
    expect(lines).not.toContain("oom_cgroups 5");
  });

  it("logs a failure when it begins and when it ends, however many scrapes see it", async () => {
    let broken = true;
    const scraper = scraperOf(
      collector("host", () => {
        if (broken) {
          throw new Error("/proc/meminfo: EACCES");
        }
      }),
    );
    await scrape(scraper);
    await scrape(scraper);
    expect(logged).toEqual([
      'error collector failed {"collector":"host","reason":"/proc/meminfo: EACCES"}',
    ]);
    broken = false;
    await scrape(scraper);
    await scrape(scraper);
    expect(logged.slice(1)).toEqual(['info collector works again {"collector":"host"}']);
  });

  it("does not treat missing kernel files as an error", async () => {
    const scraper = scraperOf(
      collector("host", () => {
        throw new NoData("no PSI before Linux 4.20");
      }),
    );
    expect(await scrape(scraper)).toContain('oom_scrape_collector_success{collector="host"} 0');
    await scrape(scraper);
    expect(logged).toEqual([
      'debug collector has no data on this host {"collector":"host","reason":"no PSI before Linux 4.20"}',
    ]);
  });

  it("keeps its own samples' failure to itself", async () => {
    const scraper = scraperWith({
      collectors: [host],
      addOwnSamples: () => {
        throw new Error("no /proc/self");
      },
    });
    expect(await scrape(scraper)).toContain("oom_kernel_kills_total 1");
    expect(logged).toEqual([
      'error collector failed {"collector":"exporter","reason":"no /proc/self"}',
    ]);
  });

  it("begins no collector after its deadline", async () => {
    const slow = collector("cgroups", () => {
      clockMs += 950;
    });
    const lines = await scrape(scraperOf(slow, host), { budgetMs: 900 });
    expect(runs).toEqual(["cgroups"]);
    expect(lines).toContain('oom_scrape_collector_success{collector="cgroups"} 1');
    expect(lines).toContain('oom_scrape_collector_success{collector="host"} 0');
    expect(logged[0]).toContain("warn collector skipped");
  });

  it("passes one snapshot with the deadline to all its collectors", async () => {
    const seen = new Set<Snapshot>();
    const deadlines: number[] = [];
    const look = (name: CollectorName) => collector(name, ({ snapshot }) => seen.add(snapshot));
    const scraper = scraperWith({
      collectors: [look("host"), look("cgroups"), look("processes")],
      snapshot: (deadlineMs) => {
        deadlines.push(deadlineMs - clockMs);
        return snapshotOf();
      },
    });
    await scrape(scraper, { budgetMs: 900 });
    expect(seen.size).toBe(1);
    await scrape(scraper);
    expect(seen.size).toBe(2);
    expect(deadlines).toEqual([900, 10_000]);
  });

  it("passes each reading to the keepers once, before the next collector runs", async () => {
    const pass: CgroupReadings = { readings: [], filtered: 0, beyondLimit: 0, unreadable: 0 };
    const cgroups = collector("cgroups", ({ snapshot }) => void snapshot.cgroups);
    const kills = collector("kills", ({ snapshot }) => void snapshot.cgroups);
    const scraper = scraperWith({
      collectors: [cgroups, kills],
      snapshot: () => snapshotOf({ cgroups: () => pass }),
      keepers: [{ noteCgroups: (kept) => runs.push(kept === pass ? "kept" : "another") }],
    });
    await scrape(scraper);
    expect(runs).toEqual(["cgroups", "kept", "kills"]);
  });

  it("runs only the collectors that are asked for", async () => {
    const other = collector("log", ({ sink }) => sink.add("oom_log_lines_total", 9, {}));
    const lines = await scrape(scraperOf(host, other), { collectors: ["log"] });
    expect(runs).toEqual(["log"]);
    expect(lines).toContain("oom_log_lines_total 9");
    expect(lines.join()).not.toContain('collector="host"');
  });
});

describe("the pass", () => {
  it("is shared by scrapes that come during it and shortly after", async () => {
    const scraper = scraperOf(host);
    await Promise.all([scraper.scrape({}, plain), scraper.scrape({}, plain)]);
    clockMs += 49;
    await scraper.scrape({}, { format: "openmetrics", gzip: true });
    expect(runs).toEqual(["host"]);
    clockMs += 1;
    await scraper.scrape({}, plain);
    expect(runs).toEqual(["host", "host"]);
  });

  it("is shared for as long again as it took, so that reading takes at most half of the time", async () => {
    const slow = collector("host", () => {
      clockMs += 2000;
    });
    const scraper = scraperOf(slow);
    await scraper.scrape({}, plain);
    clockMs += 1999;
    await scraper.scrape({}, plain);
    expect(runs).toHaveLength(1);
    clockMs += 1;
    await scraper.scrape({}, plain);
    expect(runs).toHaveLength(2);
  });

  it("is not shared after a kill, which it cannot show", async () => {
    const slow = collector("host", () => {
      clockMs += 20_000;
    });
    const scraper = scraperOf(slow);
    await scraper.scrape({}, plain);
    kills++;
    await scraper.scrape({}, plain);
    expect(runs).toHaveLength(2);
    await scraper.scrape({}, plain);
    expect(runs).toHaveLength(2);
  });

  it("runs alone: a pass of other collectors starts after its end", async () => {
    const scraper = scraperOf(
      host,
      collector("log", () => {}),
    );
    await Promise.all([scraper.scrape({}, plain), scraper.scrape({ collectors: ["log"] }, plain)]);
    expect(runs).toEqual(["host", "log", "log"]);
  });

  it("is not shared by scrapes of other collectors", async () => {
    const scraper = scraperOf(
      host,
      collector("log", () => {}),
    );
    await scraper.scrape({}, plain);
    await scraper.scrape({ collectors: ["host"] }, plain);
    expect(runs).toEqual(["host", "log", "host"]);
  });

  it("is the same text when compressed", async () => {
    const scraper = scraperOf(host);
    const compressed = await scraper.scrape({}, { format: "text", gzip: true });
    expect(gunzipSync(compressed)).toEqual(await scraper.scrape({}, plain));
  });

  it("has taken place when the first scrape is answered", async () => {
    const scraper = scraperOf(host);
    expect(scraper.hasRun).toBe(false);
    await scraper.scrape({}, plain);
    expect(scraper.hasRun).toBe(true);
  });
});
