// Writes numbered kernel log lines to a file at a steady rate, in a process of its own.
// SIGHUP: opens the path anew, like a syslog daemon. SIGTERM: stops and prints how many it wrote.
// usage: writer.mjs PATH LINES_PER_SECOND
import { closeSync, openSync, writeSync } from "node:fs";

const [path, rate] = [process.argv[2], Number(process.argv[3])];
const started = process.hrtime.bigint();
let fd = openSync(path, "a", 0o644);
let written = 0;

function writeDue() {
  const seconds = Number(process.hrtime.bigint() - started) / 1e9;
  for (const due = Math.floor(seconds * rate); written < due; written++) {
    const number = String(written).padStart(9, "0");
    const text = `Nov 21 04:00:00 host kernel: [${number}] Killed process ${number} (stress) total-vm:1kB\n`;
    writeSync(fd, text);
  }
}

process.on("SIGHUP", () => {
  closeSync(fd);
  fd = openSync(path, "a", 0o644);
});
process.on("SIGTERM", () => {
  writeDue();
  process.stdout.write(`${written}\n`, () => process.exit(0));
});
setInterval(writeDue, 1);
