import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, openSync } from "node:fs";
import { mkdir, readFile, rename, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { cacheDirectory, cached } from "../../kit/cache.ts";
import { debianPrograms } from "../../kit/debian-programs.ts";
import { DebianSuite } from "../../kit/debian-suite.ts";
import { run } from "../../kit/run.ts";

export interface Engine {
  /** What the docker command needs to find it. */
  env: Record<string, string>;
  stop(): Promise<void>;
}

const home = join(cacheDirectory, "docker");
const forwarding = "/proc/sys/net/ipv4/ip_forward";

/**
 * Starts Debian's Docker engine, unpacked into the cache, with its own directory and socket.
 * @throws {Error} if it does not start
 */
export async function startEngine(): Promise<Engine> {
  const { root, env: programs } = await debianPrograms(["docker.io", "iptables"]);
  const env: NodeJS.ProcessEnv = {
    ...programs,
    PATH: `${await iptablesDirectory(root)}:${programs.PATH}`,
    XTABLES_LIBDIR: join(root, "usr/lib/x86_64-linux-gnu/xtables"),
  };
  const dataRoot = join(home, "data");
  const clientEnv = {
    DOCKER_HOST: `unix://${join(home, "docker.sock")}`,
    DOCKER_CONFIG: await pluginDirectory(),
    // Where docker/compose.yaml finds the names of containers.
    DOCKER_DATA_ROOT: dataRoot,
    PATH: `${env.PATH}`,
  };
  await mkdir(home, { recursive: true });
  const before = await networkSettings(env);
  const log = openSync(join(home, "dockerd.log"), "w");
  const daemon = spawn(
    "dockerd",
    [
      ...["--host", clientEnv.DOCKER_HOST, "--pidfile", join(home, "dockerd.pid")],
      ...["--data-root", dataRoot, "--exec-root", join(home, "exec")],
      ...["--exec-opt", "native.cgroupdriver=cgroupfs"],
    ],
    { env, stdio: ["ignore", log, log], detached: true },
  );
  let hasEnded = false;
  const ended = new Promise<void>((settle) => {
    for (const event of ["error", "close"]) daemon.once(event, () => settle());
  }).then(() => {
    hasEnded = true;
  });
  const guard = startGuard(daemon.pid as number, before, env);
  const stop = async () => {
    guard.stdin?.end();
    await Promise.all([ended, once(guard, "close")]);
  };
  const patience = performance.now() + 90_000;
  while (!hasEnded && performance.now() < patience) {
    const isUp = await run("docker", ["info"], { env: { ...process.env, ...clientEnv } }).then(
      (text) => text.includes("Server Version"),
      () => false,
    );
    if (isUp) return { env: clientEnv, stop };
    await new Promise((settle) => setTimeout(settle, 300));
  }
  await stop();
  const lines = (await readFile(join(home, "dockerd.log"), "utf8")).trim().split("\n");
  throw new Error(`the Docker engine does not start: ${lines.at(-1)}`);
}

/** Debian makes these links when it installs the package. */
function iptablesDirectory(root: string): Promise<string> {
  return cached(`programs/${basename(root)}-iptables`, async (building) => {
    await mkdir(building);
    for (const name of ["iptables", "ip6tables", "iptables-restore", "ip6tables-restore"]) {
      await symlink(join(root, "usr/sbin/xtables-nft-multi"), join(building, name));
    }
  });
}

/** A configuration of the docker command with compose and buildx, which Debian packages since 13. */
function pluginDirectory(): Promise<string> {
  return cached("docker-config", async (building) => {
    const suite = await DebianSuite.open(["trixie"], "nothing");
    try {
      await suite.unpack(["docker-compose", "docker-buildx"], join(building, "packages"));
    } finally {
      await suite.close();
    }
    const plugins = join(building, "packages/usr/libexec/docker/cli-plugins");
    await rename(plugins, join(building, "cli-plugins"));
  });
}

interface NetworkSettings {
  forwarding: string;
  /** Such as `-P FORWARD ACCEPT`. */
  policy: string;
  hasBridge: boolean;
}

/** What dockerd changes on this machine and leaves behind. */
async function networkSettings(env: NodeJS.ProcessEnv): Promise<NetworkSettings> {
  const rules = await run("iptables", ["-S", "FORWARD"], { env }).catch(() => "");
  return {
    forwarding: await readFile(forwarding, "utf8"),
    policy: rules.split("\n")[0] ?? "",
    hasBridge: existsSync("/sys/class/net/docker0"),
  };
}

/**
 * Stops the engine and restores the settings once its standard input closes, which the end of this process does too,
 * however it ends.
 */
function startGuard(engine: number, before: NetworkSettings, env: NodeJS.ProcessEnv): ChildProcess {
  const script = [
    "cat >/dev/null",
    "kill $ENGINE; while kill -0 $ENGINE; do sleep 0.1; done",
    `printf %s "$FORWARDING" >${forwarding}`,
    '[ -z "$POLICY" ] || iptables $POLICY',
    '[ -n "$BRIDGE" ] || ip link delete docker0',
  ].join("\n");
  return spawn("sh", ["-c", script], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
    env: {
      ...env,
      ENGINE: `${engine}`,
      FORWARDING: before.forwarding,
      POLICY: before.policy,
      BRIDGE: before.hasBridge ? "kept" : "",
    },
  });
}
