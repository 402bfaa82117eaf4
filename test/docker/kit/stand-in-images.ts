import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { debianPrograms } from "../../kit/debian-programs.ts";
import { sourceLines } from "../../kit/debian-suite.ts";
import { run } from "../../kit/run.ts";

interface StandIn {
  packages: string[];
  /** Shell commands that finish the root file system, which is `$1`. */
  finish: string[];
  /** Instructions as in a Dockerfile. */
  config: string[];
}

const certificates = "/etc/ssl/certs/ca-certificates.crt";

/**
 * Makes an image out of packages where its registry cannot be reached. For tests on this machine only: it trusts
 * whom this machine trusts.
 * @param name as `docker/compose.yaml` or `docker/Dockerfile` has it, such as `prom/prometheus:v3.5.0`
 */
export async function makeStandIn(name: string): Promise<void> {
  const standIn = await standInOf(name);
  const directory = await mkdtemp(join(tmpdir(), "oom-exporter-image-"));
  const archive = join(directory, "root.tar");
  try {
    const { env } = await debianPrograms(["mmdebstrap"]);
    const options = [
      "--quiet",
      "--variant=minbase",
      `--include=${standIn.packages.join(",")}`,
      ...standIn.finish.map((command) => `--customize-hook=${command}`),
    ];
    const suites = ["trixie", "trixie-security"];
    const lines = await sourceLines(suites);
    await run("mmdebstrap", [...options, "trixie", archive, ...lines], { env });
    const changes = standIn.config.flatMap((instruction) => ["--change", instruction]);
    await run("docker", ["import", ...changes, archive, name]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function standInOf(name: string): Promise<StandIn> {
  if (name.startsWith("prom/")) {
    const program = name.replace(/^prom\/(\w+):.*/, "$1");
    return {
      packages: [program === "prometheus" ? "prometheus" : "prometheus-alertmanager", "busybox"],
      finish: [
        `ln -s busybox "$1/bin/wget"`,
        `mkdir "$1/${program}" && chown 65534:65534 "$1/${program}"`,
      ],
      config: [
        `ENTRYPOINT ["/usr/bin/${program === "prometheus" ? "" : "prometheus-"}${program}"]`,
        `USER 65534:65534`,
        `WORKDIR /${program}`,
        `VOLUME ["/${program}"]`,
      ],
    };
  }
  if (name.startsWith("debian:")) {
    return { packages: ["libstdc++6"], finish: [], config: [`CMD ["bash"]`] };
  }
  if (name.startsWith("node:")) {
    // This machine's own Node.js and npm.
    const npm = join((await run("npm", ["root", "--global"])).trim(), "npm");
    const modules = "usr/local/lib/node_modules";
    return {
      packages: ["ca-certificates", "libatomic1", "libstdc++6"],
      finish: [
        `mkdir -p "$1/${modules}" && cp -aL ${npm} "$1/${modules}/"`,
        `cp -L ${process.execPath} "$1/usr/local/bin/node"`,
        // What the official image has there.
        `echo "Node.js is licensed under the MIT License." >"$1/usr/local/LICENSE"`,
        `ln -s ../lib/node_modules/npm/bin/npm-cli.js "$1/usr/local/bin/npm"`,
        `cp -L ${certificates} "$1${certificates}"`,
        `mkdir -p "$1/usr/local/etc" && echo cafile=${certificates} >"$1/usr/local/etc/npmrc"`,
      ],
      config: [
        `ENV NODE_EXTRA_CA_CERTS=${certificates} PATH=/usr/local/bin:/usr/bin:/bin`,
        `CMD ["node"]`,
      ],
    };
  }
  throw new Error(`${name} cannot be pulled, and there is no stand-in for it`);
}
