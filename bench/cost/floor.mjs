// The least that reading can cost in Node.js: as floor.c with kept descriptors, one readSync a file. Files
// beyond the limit of descriptors are opened, read and closed.
// usage: floor.mjs DIRECTORY
import {
  accessSync,
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
} from "node:fs";
import { createInterface } from "node:readline";

const directory = process.argv[2];
const names = existsSync("/sys/fs/cgroup/cgroup.controllers")
  ? [
      "current",
      "max",
      "high",
      "peak",
      "swap.current",
      "swap.max",
      "stat",
      "events.local",
      "pressure",
    ]
  : [
      "usage_in_bytes",
      "limit_in_bytes",
      "max_usage_in_bytes",
      "stat",
      "failcnt",
      "oom_control",
      "memsw.limit_in_bytes",
    ];
const buffer = Buffer.alloc(1 << 16);
const limit = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"));
/** Some are the runtime's own. */
let free = Number(limit?.[1] ?? 1024) - 100;
/** Descriptors by path. */
const kept = new Map();

const cgroupFiles = readdirSync(directory, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name }) => names.map((file) => `${directory}/${name}/memory.${file}`))
  .filter(isThere);

function isThere(path) {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}

function read(path) {
  let fd = kept.get(path);
  try {
    if (fd !== undefined) return readSync(fd, buffer, 0, buffer.length, 0);
    fd = openSync(path);
    const length = readSync(fd, buffer, 0, buffer.length, 0);
    if (free > 0) {
      kept.set(path, fd);
      free--;
    } else {
      closeSync(fd);
    }
    return length;
  } catch {
    // The process has ended.
    if (kept.delete(path)) free++;
    if (fd !== undefined) closeSync(fd);
    return 0;
  }
}

function pass() {
  let bytes = 0;
  for (const name of readdirSync("/proc")) {
    if (Number(name) > 0) bytes += read(`/proc/${name}/oom_score`);
  }
  for (const path of cgroupFiles) bytes += read(path);
  return bytes;
}

for await (const _ of createInterface({ input: process.stdin })) console.log(pass());
