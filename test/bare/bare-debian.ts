import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { bareRootObstacle, insideRoot, unpackBareRoot } from "../kit/bare-root.ts";

const run = promisify(execFile);

const neededBytes = 6 * 2 ** 30;

/** Why no bare Debian can be made here, or `undefined` where one can. */
export function bareDebianObstacle(): string | undefined {
  const obstacle = bareRootObstacle();
  if (obstacle !== undefined) return obstacle;
  const { bavail, bsize } = statfsSync(tmpdir());
  if (bavail * bsize < neededBytes) return `needs 6 GiB in ${tmpdir()}`;
  return undefined;
}

export const accounts = {
  root: {
    id: 0,
    home: "/root",
    path: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
  },
  "an ordinary user": { id: 1000, home: "/home/tester", path: "/usr/local/bin:/usr/bin:/bin" },
} as const;

export type Account = keyof typeof accounts;

/** A Debian with its essential packages, apt and this machine's Node.js and npm, and nothing else. */
export class BareDebian {
  readonly #root: string;

  private constructor(root: string) {
    this.#root = root;
  }

  /** @param suite Debian's code name, e.g. `bookworm` */
  static async make(suite: string): Promise<BareDebian> {
    const root = mkdtempSync(join(tmpdir(), `oom-exporter-${suite}-`));
    const debian = new BareDebian(root);
    try {
      chmodSync(root, 0o755);
      await unpackBareRoot(suite, root);
      debian.#addUser();
      debian.#addNode();
      await debian.#addClientConfiguration();
      return debian;
    } catch (error) {
      debian.remove();
      throw error;
    }
  }

  /** A fresh clone of the project for the account; the same path inside. */
  async clone(project: string, account: Account): Promise<void> {
    const { id } = accounts[account];
    const directory = join(this.#root, this.projectOf(account));
    rmSync(directory, { recursive: true, force: true });
    await run("git", ["clone", "-q", "--no-hardlinks", project, directory]);
    await run("chown", ["-R", `${id}:${id}`, directory]);
  }

  projectOf(account: Account): string {
    return `${accounts[account].home}/oom-exporter`;
  }

  /**
   * Starts a command line in the project, with /proc, /sys and /dev mounted for it alone: the mounts
   * go with the last process. What it prints goes to the file `log`, outside.
   */
  start(command: string, account: Account, log: string): ChildProcess {
    const { id, home, path } = accounts[account];
    const line = `PATH=${path}; cd ${this.projectOf(account)} && ${command}`;
    const output = openSync(log, "w");
    return spawn("unshare", insideRoot(this.#root, line, id), {
      cwd: "/",
      detached: true,
      stdio: ["ignore", output, output],
      env: { ...networkEnvironment(), HOME: home, PATH: accounts.root.path, LANG: "C" },
    });
  }

  /** Resolves with the exit code. */
  async run(command: string, account: Account, log: string): Promise<number | null> {
    const [code] = await once(this.start(command, account, log), "exit");
    return code;
  }

  /** Ends every process that runs in it. */
  endAll(): void {
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        if (readlinkSync(`/proc/${pid}/root`) === this.#root) process.kill(Number(pid), "SIGKILL");
      } catch {
        // It has ended, or is a thread of the kernel's.
      }
    }
  }

  remove(): void {
    this.endAll();
    rmSync(this.#root, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  #addUser(): void {
    const { id, home } = accounts["an ordinary user"];
    appendFileSync(join(this.#root, "etc/passwd"), `tester:x:${id}:${id}::${home}:/bin/sh\n`);
    appendFileSync(join(this.#root, "etc/group"), `tester:x:${id}:\n`);
    mkdirSync(join(this.#root, home));
    chownSync(join(this.#root, home), id, id);
  }

  #addNode(): void {
    const npm = dirname(dirname(realpathSync(process.env.npm_execpath ?? "")));
    const local = join(this.#root, "usr/local");
    copyFileSync(process.execPath, join(local, "bin/node"));
    cpSync(npm, join(local, "lib/node_modules/npm"), { recursive: true });
    const start = '#!/bin/sh\nexec node /usr/local/lib/node_modules/npm/bin/npm-cli.js "$@"\n';
    writeFileSync(join(local, "bin/npm"), start, { mode: 0o755 });
  }

  /** How npm and apt reach their servers from here: proxies, certificates, mirrors, credentials. */
  async #addClientConfiguration(): Promise<void> {
    const { stdout: acquire } = await run("apt-config", ["dump", "Acquire"]);
    const lines = acquire.split("\n").filter((line) => /^Acquire::(https?|Check-)/.test(line));
    writeFileSync(join(this.#root, "etc/apt/apt.conf.d/99network"), `${lines.join("\n")}\n`);
    const npmValue = async (key: string) =>
      (await run("npm", ["config", "get", key], { cwd: "/" })).stdout.trim();
    const files = ["/etc/resolv.conf", "/etc/hosts", await npmValue("cafile")];
    for (const file of [...files, process.env.NODE_EXTRA_CA_CERTS ?? ""]) {
      if (!file.startsWith("/") || !existsSync(file)) continue;
      mkdirSync(dirname(join(this.#root, file)), { recursive: true });
      copyFileSync(file, join(this.#root, file));
    }
    const settings = join(this.#root, "usr/local/etc/npmrc");
    mkdirSync(dirname(settings), { recursive: true });
    copyIfThere(await npmValue("globalconfig"), settings);
    for (const { id, home } of Object.values(accounts)) {
      const own = join(this.#root, home, ".npmrc");
      if (copyIfThere(await npmValue("userconfig"), own)) chownSync(own, id, id);
    }
  }
}

function copyIfThere(from: string, to: string): boolean {
  if (!existsSync(from)) return false;
  copyFileSync(from, to);
  return true;
}

function networkEnvironment(): Record<string, string | undefined> {
  const names = /^(https?_proxy|no_proxy|NODE_EXTRA_CA_CERTS|npm_config_(registry|https?_proxy))$/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => names.test(name)));
}
