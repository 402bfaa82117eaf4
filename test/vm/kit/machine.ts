import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { cached } from "../../kit/cache.ts";
import { run } from "../../kit/run.ts";
import { diskImage, sparseFile } from "./disk-image.ts";
import { guestImage } from "./guest-image.ts";
import { hostPrograms } from "./host-programs.ts";
import { fileOfHost, type InitramfsFile, writeInitramfs } from "./initramfs.ts";
import { debianKernel } from "./kernels.ts";

export interface Machine {
  /** Bash, run as root in the guest, where `. /kit/lib.sh` brings its helpers; starts in /share. */
  script: string;
  /** A kernel series; `OOM_EXPORTER_VM_KERNEL`, else 6.1, by default. */
  kernel?: string;
  /** A directory whose files are under /share in the guest, for reading. */
  share?: string;
  memoryMb?: number;
  swapMb?: number;
  /** Memory and processors are split over so many nodes. */
  numaNodes?: number;
  /** Words for the kernel's command line. */
  kernelArguments?: string;
  /** Debian packages in addition to those that every guest has. */
  packages?: readonly string[];
  /** Whether `reboot_machine` may start it again. */
  mayReboot?: boolean;
  timeoutSeconds?: number;
}

export interface MachineEnd {
  /** The script's exit status. */
  status: number;
  stdout: string;
  stderr: string;
  /** What the kernel and systemd wrote to the serial console. */
  console: string;
  /** What the script left under /results, in a directory that the caller removes. */
  results: string;
  /** From the start of qemu to its end. */
  seconds: number;
}

/**
 * Boots a machine without an init system but with cgroup v2, runs the script, and turns it off.
 * @throws {Error} if it cannot be booted, ran out of time or ended before the script did
 */
export function bootMachine(machine: Machine): Promise<MachineEnd> {
  return boot(machine, "script");
}

/** The same with Debian 13's own systemd as init: the script runs as a service once the boot is complete. */
export function bootSystemd(machine: Machine): Promise<MachineEnd> {
  return boot(machine, "systemd");
}

const guest = resolve("test/vm/kit/guest");

async function boot(machine: Machine, init: "script" | "systemd"): Promise<MachineEnd> {
  const { kernel = process.env.OOM_EXPORTER_VM_KERNEL ?? "6.1", share, swapMb = 0 } = machine;
  const [{ root, env }, { image, bootModules, modules }, base, tools] = await Promise.all([
    hostPrograms(),
    debianKernel(kernel),
    guestImage(machine.packages),
    guestTools(),
  ]);
  await removeLeftovers();
  const directory = await mkdtemp(join(tmpdir(), `oom-exporter-machine-${process.pid}-`));
  const path = (name: string) => join(directory, name);
  try {
    await diskImage(path("scratch"), { isWritable: true, spareMb: 4096 });
    const disks: Disk[] = [
      { serial: "base", path: base, isWritable: false },
      { serial: "modules", path: modules, isWritable: false },
      { serial: "scratch", path: path("scratch"), isWritable: true },
    ];
    if (share !== undefined) {
      await diskImage(path("share"), { contents: share, isWritable: false });
      disks.push({ serial: "share", path: path("share"), isWritable: false });
    }
    if (swapMb > 0) {
      await sparseFile(path("swap"), swapMb);
      disks.push({ serial: "swap", path: path("swap"), isWritable: true });
    }
    const modulePaths = bootModules.map((module) =>
      fileOfHost(`boot-modules/${module.replace(/.*\//, "")}`, module),
    );
    const busybox = await run("sh", ["-c", "command -v busybox"], { env });
    await writeInitramfs(path("initramfs"), [
      ...["bin", "dev", "proc", "sys", "boot-modules", "kit", "kit/bin"].map((name) => ({ name })),
      fileOfHost("bin/busybox", busybox.trim(), true),
      fileOfHost("init", join(guest, "init"), true),
      ...modulePaths,
      { name: "boot-modules.txt", contents: `${names(modulePaths).join("\n")}\n` },
      ...["start", "run-script"].map((name) => fileOfHost(`kit/${name}`, join(guest, name), true)),
      ...["lib.sh", "kit.service"].map((name) => fileOfHost(`kit/${name}`, join(guest, name))),
      ...toolNames.map((name) => fileOfHost(`kit/bin/${name}`, tools, true)),
      { name: "kit/settings", contents: `INIT=${init}\n` },
      { name: "kit/script", contents: machine.script },
    ]);
    const begun = performance.now();
    const isTimedOut = await runQemu(
      qemuArguments(machine, root, disks, {
        kernel: image,
        initramfs: path("initramfs"),
        console: path("console"),
      }),
      env,
      machine.timeoutSeconds ?? 300,
    );
    const seconds = (performance.now() - begun) / 1000;
    const results = await resultsOf(path("scratch"), env);
    const text = (name: string) => readFile(join(results, ".kit", name), "utf8").catch(() => "");
    const [status, stdout, stderr, serialConsole] = await Promise.all([
      text("status"),
      text("stdout"),
      text("stderr"),
      readFile(path("console"), "utf8").catch(() => ""),
    ]);
    if (status === "") {
      await rm(results, { recursive: true, force: true });
      throw new Error(
        `the machine ${isTimedOut ? "ran out of time" : "ended before its script did"} ` +
          `after ${seconds.toFixed(0)} s:\n${stdout}${stderr}\n${serialConsole.slice(-3000)}`,
      );
    }
    return { status: Number(status), stdout, stderr, console: serialConsole, results, seconds };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** What interrupted runs left behind: disks of machines whose process is gone. */
async function removeLeftovers(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = /^oom-exporter-machine-(\d+)-/.exec(name)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
}

function names(files: readonly InitramfsFile[]): string[] {
  return files.map(({ name }) => name.replace("boot-modules/", ""));
}

interface Disk {
  serial: string;
  path: string;
  isWritable: boolean;
}

function qemuArguments(
  { memoryMb = 512, numaNodes = 1, kernelArguments = "", mayReboot = false }: Machine,
  programs: string,
  disks: readonly Disk[],
  files: { kernel: string; initramfs: string; console: string },
): string[] {
  // The firmware of qemu's packages where they are not installed.
  const firmware = ["usr/share/qemu", "usr/share/seabios"].flatMap((name) => [
    "-L",
    join(programs, name),
  ]);
  const nodes = Array.from({ length: numaNodes }, (_, node) => [
    "-object",
    `memory-backend-ram,id=memory${node},size=${Math.floor(memoryMb / numaNodes)}M`,
    "-numa",
    `node,nodeid=${node},memdev=memory${node}${node < 2 ? `,cpus=${node}` : ""}`,
  ]).flat();
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-nic", "none"],
    ...["-machine", "pc,vmport=off", "-smp", "2", "-m", `${memoryMb}`],
    // One thread for both processors: with a thread each, qemu 7.2 now and then runs code that the kernel has
    // replaced, and the guest dies while it boots.
    ...(hasKvm()
      ? ["-accel", "kvm", "-cpu", "host"]
      : ["-accel", "tcg,thread=single", "-cpu", "max"]),
    ...firmware,
    ...(numaNodes > 1 ? nodes : []),
    ...(mayReboot ? [] : ["-no-reboot"]),
    ...["-kernel", files.kernel, "-initrd", files.initramfs],
    ...["-append", `console=ttyS0 loglevel=1 panic=-1 no_timer_check ${kernelArguments}`],
    ...["-chardev", `file,id=console,path=${files.console}`, "-serial", "chardev:console"],
    ...["-device", "virtio-rng-pci"],
    ...disks.flatMap(({ serial, path, isWritable }) => [
      "-drive",
      `if=none,id=${serial},format=raw,file=${path},cache=unsafe,readonly=${isWritable ? "off" : "on"}`,
      "-device",
      `virtio-blk-pci,drive=${serial},serial=${serial}`,
    ]),
  ];
}

/** A /dev/kvm without vmx or svm emulates a foreign kernel's instructions, slower than qemu does. */
function hasKvm(): boolean {
  try {
    return (
      /^flags\s*:.*\b(vmx|svm)\b/m.test(readFileSync("/proc/cpuinfo", "utf8")) &&
      readFileSync("/sys/class/misc/kvm/dev", "utf8") !== ""
    );
  } catch {
    return false;
  }
}

/** Returns whether it had to be ended because its time was over. */
function runQemu(args: string[], env: NodeJS.ProcessEnv, seconds: number): Promise<boolean> {
  // The machine goes with this process, whatever ends it.
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "qemu-system-x86_64", ...args], {
    env,
    stdio: ["ignore", "ignore", "pipe"],
  });
  return ended(child, seconds);
}

function ended(child: ChildProcess, seconds: number): Promise<boolean> {
  return new Promise((settle, reject) => {
    let isTimedOut = false;
    let complaints = "";
    const timer = setTimeout(() => {
      isTimedOut = true;
      child.kill("SIGKILL");
    }, seconds * 1000);
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      complaints += text;
    });
    child.once("error", reject);
    child.once("close", (status) => {
      clearTimeout(timer);
      if (isTimedOut || status === 0) settle(isTimedOut);
      else reject(new Error(`qemu ended with ${status}: ${complaints.trim()}`));
    });
  });
}

/** The scratch disk's /results, read without mounting it. */
async function resultsOf(disk: string, env: NodeJS.ProcessEnv): Promise<string> {
  // Its status says what was mended.
  await run("e2fsck", ["-fy", disk], { env }).catch(() => undefined);
  const directory = await mkdtemp(join(tmpdir(), "oom-exporter-results-"));
  await run("debugfs", ["-R", `rdump /results ${directory}`, disk], { env });
  await rename(join(directory, "results"), `${directory}-read`);
  await rm(directory, { recursive: true });
  return `${directory}-read`;
}

const toolNames = ["hog", "run", "burst", "storm", "thrash", "probe"];

/** guest/tools.c, compiled once for each of its versions; its name decides what it does. */
function guestTools(): Promise<string> {
  const source = join(guest, "tools.c");
  const version = createHash("sha256").update(readFileSync(source)).digest("hex").slice(0, 12);
  return cached(`guest-tools/${version}`, async (building) => {
    await run("cc", ["-O2", "-Wall", "-static", "-pthread", "-o", building, source]);
  });
}
