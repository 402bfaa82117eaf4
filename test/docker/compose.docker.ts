import { execFile, execFileSync } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, sampleOf } from "../setup/exporter-process.ts";

const run = promisify(execFile);
const image = "oom-exporter:0.1.0";
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
    const greedy = "const held = []; for (;;) held.push(Buffer.alloc(4 << 20, 1))";
    const limits = ["--memory", "64m", "--memory-swap", "64m"];
    try {
      await expect(
        docker("run", "--name", name, ...limits, "--entrypoint", "node", image, "-e", greedy),
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

  it("can write nowhere but into its state", async () => {
    const paths = ["/", "/app", "/host/var/log", "/host/proc/sys/vm", "/host/sys/fs/cgroup"];
    const attempts = paths.map(
      (path) => `try { fs.mkdirSync("${path}/written"); console.log("${path}") } catch {}`,
    );
    expect(await inside(`const fs = require("fs"); ${attempts.join("; ")}`)).toBe("");
  });

  it("ends at once when it is stopped, and counts on when it is back", async () => {
    const counted = async () => sampleOf(await metrics(), 'oom_kills_total{constraint="memcg"}');
    const before = (await counted()) as number;
    const id = (await compose("ps", "--quiet", "exporter")).trim();
    const begun = performance.now();
    await compose("stop", "exporter");
    expect(performance.now() - begun).toBeLessThan(8000);
    expect((await docker("inspect", "--format", "{{.State.ExitCode}}", id)).trim()).toBe("0");
    await compose("up", "--detach", "--wait", "exporter");
    const after = await eventually("the counters are shown", counted);
    expect(after).toBeGreaterThanOrEqual(before);
  });
});

describe("the image", () => {
  it("is labelled, has a health check and starts node itself", () => {
    const text = execFileSync("docker", ["image", "inspect", image], { encoding: "utf8" });
    const [{ Config }] = JSON.parse(text);
    expect(Config.Labels["org.opencontainers.image.licenses"]).toBe("Apache-2.0");
    expect(Config.Healthcheck.Test[0]).toBe("CMD");
    expect(Config.Entrypoint).toEqual(["node", "--single-threaded", "/app/oom-exporter.mjs"]);
  });
});
