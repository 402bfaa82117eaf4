import { appendFileSync, closeSync, constants, openSync, readSync, writeFileSync } from "node:fs";

/** A kern.log that is written from this machine's kernel log, as a syslog daemon writes it. */
export interface KernelLogFile {
  readonly path: string;
  /** What the kernel prints is written later, all at once; `resume` does so. */
  hold(): void;
  resume(): void;
  /** The daemon dies: nothing more is written. May be called again. */
  stop(): void;
}

const bufferBytes = 8192;
const pollMs = 50;

/** Writes what the kernel prints from now on. Needs to be root, or CAP_SYSLOG. */
export function writeKernelLogFile(path: string): KernelLogFile {
  const device = openSync("/dev/kmsg", constants.O_RDONLY | constants.O_NONBLOCK);
  const buffer = Buffer.alloc(bufferBytes);
  const next = (): string | undefined => {
    try {
      return buffer.toString("latin1", 0, readSync(device, buffer));
    } catch (error) {
      // EAGAIN: no more for now. EPIPE: overtaken, the next read is the oldest there is.
      return (error as NodeJS.ErrnoException).code === "EPIPE" ? next() : undefined;
    }
  };
  while (next() !== undefined);
  writeFileSync(path, lineOf("6,0,0,-;Linux version\n") ?? "");
  let isHeld = false;
  let unwritten = "";
  const write = () => {
    for (let record = next(); record !== undefined; record = next()) {
      unwritten += lineOf(record) ?? "";
    }
    if (isHeld || unwritten === "") return;
    appendFileSync(path, unwritten, "latin1");
    unwritten = "";
  };
  const timer = setInterval(write, pollMs);
  let isStopped = false;
  return {
    path,
    hold() {
      isHeld = true;
    },
    resume() {
      isHeld = false;
      write();
    },
    stop() {
      // A second close could close a descriptor that has been reused by then.
      if (isStopped) return;
      isStopped = true;
      clearInterval(timer);
      closeSync(device);
    },
  };
}

/** A record's first line in rsyslog's form; what follows it are the record's fields. */
function lineOf(record: string): string | undefined {
  const match = /^(\d+),\d+,(\d+),[^;]*;(.*)\n/.exec(record);
  const isOfKernel = Number(match?.[1]) < 8;
  if (match === null || !isOfKernel) return undefined;
  const micros = (match[2] as string).padStart(7, "0");
  const stamp = `${micros.slice(0, -6).padStart(5)}.${micros.slice(-6)}`;
  return `${new Date().toISOString()} host kernel: [${stamp}] ${match[3]}\n`;
}
