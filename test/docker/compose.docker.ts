import { execFile, execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, sampleOf } from "../setup/exporter-process.ts";

const run = promisify(execFile);
const { version } = JSON.parse(readFileSync("package.json", "utf8"));
const image = `oom-exporter:${version}`;
/** All but Grafana: what the page of a kill needs. */
const services = ["exporter", "prometheus", "alertmanager", "pager"];

const docker = async (...args: string[]) => (await run("docker", args)).stdout;
const compose = (...args: string[]) => docker("compose", "-f", "docker/compose.yaml", ...args);
const metrics = async () => (await fetch("http://127.0.0.1:10137/metrics")).text();
/** Runs JavaScript inside the exporter's container. */
const inside = (script: string) => compose("exec", "-T", "exporter", "node", "-e", script);

beforeAll(async () => {
  await compose("up", "--detach", "--build", "--wait", ...services);
});

afterAll(async () => {
  await compose("down", "--volumes");
});

describe("the stack of docker/compose.yaml", () => {
  it("is reached from this machine only", async () => {
    const addresses = await Promise.all(
      services.map(async (service) => {
        const id = (await compose("ps", "--quiet", service)).trim();
        return docker("port", id).then((text) => text.trim().split("\n"));
      }),
    );
    const published = addresses.flat().filter((line) => line !== "");
    expect(published.length).toBeGreaterThanOrEqual(3);
    expect(published.filter((line) => !line.includes(" -> 127.0.0.1:"))).toEqual([]);
  });

  it("pages for a container that outgrew its limit, by the container's name", async () => {
    const name = `greedy-${process.pid}`;
    const limits = ["--memory", "64m", "--memory-swap", "64m"];
    try {
      await expect(
        docker("run", "--name", name, ...limits, "--entrypoint", "tail", image, "/dev/zero"),
      ).rejects.toMatchObject({ code: 137 });
      const page = await eventually(
        "the page",
        async () => {
          const lines = (await compose("logs", "--no-log-prefix", "pager")).split("\n");
          return lines.find((line) => line.includes("firing OomKill ") && line.includes(name));
        },
        90_000,
      );
      expect(page).toMatch(new RegExp(`\\(critical\\): .* was killed .* in container ${name}[,.]`));
      expect(page).toContain("Cause: cgroup_limit.");
      expect(await metrics()).toMatch(
        new RegExp(`^oom_workload_kills_total\\{[^}]*container="${name}"[^}]*\\} 1$`, "m"),
      );
    } finally {
      await docker("rm", "--force", name);
    }
  });
});

describe("the exporter's container", () => {
  it("reads the kernel's log and all else, with CAP_SYSLOG and no other capability", async () => {
    const text = await metrics();
    expect(text).toMatch(/^oom_log_source_up\{source="(kmsg|file)"\} 1$/m);
    expect(
      [...text.matchAll(/^oom_scrape_collector_success\{.*\} (\d)$/gm)].map(([, up]) => up),
    ).toEqual(Array(5).fill("1"));
    const status = await inside(
      `process.stdout.write(require("fs").readFileSync("/proc/self/status"))`,
    );
    const capSyslog = (1n << 34n).toString(16).padStart(16, "0");
    for (const set of ["CapPrm", "CapEff", "CapBnd"]) {
      expect(status).toMatch(new RegExp(`^${set}:\\t${capSyslog}$`, "m"));
    }
  });

  it("can write only to its state directory", async () => {
    const paths = ["/", "/app", "/host/var/log", "/host/proc/sys/vm", "/host/sys/fs/cgroup"];
    const attempts = paths.map(
      (path) => `try { fs.mkdirSync("${path}/written"); console.log("${path}") } catch {}`,
    );
    expect(await inside(`const fs = require("fs"); ${attempts.join("; ")}`)).toBe("");
  });

  it("ends by itself when it is stopped, and counts on when it is back", async () => {
    const counted = async () => sampleOf(await metrics(), 'oom_kills_total{constraint="memcg"}');
    const before = (await counted()) as number;
    const id = (await compose("ps", "--quiet", "exporter")).trim();
    await compose("stop", "exporter");
    // One that the engine had to kill has 137.
    expect((await docker("inspect", "--format", "{{.State.ExitCode}}", id)).trim()).toBe("0");
    await compose("up", "--detach", "--wait", "exporter");
    await eventually("the counters are shown", async () => (await counted()) !== undefined);
    expect(await counted()).toBeGreaterThanOrEqual(before);
  });
});

describe("the image", () => {
  const inspected = () => {
    const text = execFileSync("docker", ["image", "inspect", image], { encoding: "utf8" });
    return JSON.parse(text)[0];
  };

  it("is labelled, and starts node itself", () => {
    const { Config } = inspected();
    expect(Config.Labels["org.opencontainers.image.licenses"]).toBe("Apache-2.0");
    expect(Config.Entrypoint).toEqual(["node", "--single-threaded", "/app/oom-exporter.mjs"]);
  });

  it("has a health check that says what the exporter is", async () => {
    const [kind, ...command] = inspected().Config.Healthcheck.Test as string[];
    expect(kind).toBe("CMD");
    expect(await compose("exec", "-T", "exporter", ...command)).toBe("");
    const other = [...command, "--web.listen-address=127.0.0.1:1"];
    await expect(compose("exec", "-T", "exporter", ...other)).rejects.toMatchObject({ code: 1 });
  });

  it("has the commands by their name", async () => {
    expect(await compose("exec", "-T", "exporter", "oom-exporter", "--version")).toMatch(
      /^oom-exporter \d/,
    );
  });

  it("is a base, Node.js, and two layers of less than 2 MB that a new release changes", async () => {
    const format = ["--no-trunc", "--format", "{{.Size}}\t{{.CreatedBy}}"];
    const layers = (await docker("history", "--human=false", ...format, image))
      .split("\n")
      // An imported base does not say what made it.
      .map((line) => line.split("\t") as [string, string])
      .filter(([bytes]) => Number(bytes) > 0);
    const megabytes = (bytes: string) => `${(Number(bytes) / 1e6).toFixed(1)} MB`;
    console.log(layers.map(([bytes, by]) => `${megabytes(bytes)}  ${by.slice(0, 100)}`).join("\n"));
    console.log(`${megabytes(inspected().Size)}  in all`);
    const node = layers.findIndex(([, by]) => by.includes("/usr/local/bin/node"));
    expect(node).toBeGreaterThan(0);
    const above = layers.slice(0, node).map(([bytes]) => Number(bytes));
    expect(above.reduce((sum, bytes) => sum + bytes, 0)).toBeLessThan(2e6);
  });
});

describe("the line of docs/install.md for a single host", () => {
  it("starts an exporter that reads the kernel's ring and keeps its state", async () => {
    const name = `oom-exporter-${process.pid}`;
    const text = readFileSync("docs/install.md", "utf8");
    const line = /^ {4}docker (run --detach (?:.*\\\n)*.*)$/m.exec(text)?.[1] as string;
    const words = line.replaceAll("\\\n", " ").trim().split(/\s+/);
    const replaced: Record<string, string> = {
      "oom-exporter": name,
      "oom-exporter:/var/lib/oom-exporter": `${name}:/var/lib/oom-exporter`,
      "10137:10137": "127.0.0.1:10138:10137",
      [`oom-exporter:${version}`]: image,
    };
    try {
      await docker(...words.map((word) => replaced[word] ?? word));
      const answer = await eventually("it serves", () =>
        fetch("http://127.0.0.1:10138/metrics").then(
          (response) => response.text(),
          () => undefined,
        ),
      );
      expect(sampleOf(answer, 'oom_log_source_up{source="kmsg"}')).toBe(1);
      expect(sampleOf(answer, "oom_state_persistent")).toBe(1);
    } finally {
      await docker("rm", "--force", "--volumes", name);
      await docker("volume", "rm", "--force", name);
    }
  });
});
