import {
  closeSync,
  copyFileSync,
  existsSync,
  fstatSync,
  futimesSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

/**
 * A log, its writer and its rotation on a real file system, with the truth beside it: every content
 * the log ever had, in order. Time stands still unless something is written: each write is a second
 * later than the one before, so that no two files are equally old.
 */
export class RotatingLog {
  readonly directory = mkdtempSync(join(tmpdir(), "rotating-log-"));
  readonly path = join(this.directory, "kern.log");
  /** What each file of the log was given, from old to new. */
  readonly contents: string[] = [];
  #writer: { fd: number; content: number } | undefined;
  #seconds = 1_800_000_000;
  #count = 0;

  /** The lines in the order written; what a file's end left without newline is a line. */
  lines(): string[] {
    return this.contents.flatMap((content, index) => {
      const lines = content.split("\n");
      const rest = lines.pop() ?? "";
      return rest === "" || index === this.contents.length - 1 ? lines : [...lines, rest];
    });
  }

  write(text: string): void {
    this.#writer ??= this.#open();
    writeSync(this.#writer.fd, text, null, "latin1");
    this.contents[this.#writer.content] += text;
    futimesSync(this.#writer.fd, ++this.#seconds, this.#seconds);
  }

  writeLines(count: number): void {
    let text = "";
    for (let i = 0; i < count; i++) text += `${this.#nextStamp()} kernel: a line of the log\n`;
    this.write(text);
  }

  /** Begins a line, or ends the one that was begun. */
  writeHalfALine(): void {
    const content = this.contents[this.#writer?.content ?? -1] ?? "";
    const halfway = content !== "" && !content.endsWith("\n");
    this.write(halfway ? "and the rest of it\n" : `${this.#nextStamp()} kernel: half a line `);
  }

  /** The writer reopens the path (SIGHUP). */
  reopen(): void {
    if (this.#writer !== undefined) closeSync(this.#writer.fd);
    this.#writer = undefined;
  }

  create(): void {
    writeFileSync(this.path, "", { flag: "a" });
  }

  /** kern.log becomes kern.log.1, and so on; the writer notices nothing. */
  rename(): boolean {
    if (!existsSync(this.path) || statSync(this.path).size === 0) return false;
    this.#shift();
    renameSync(this.path, `${this.path}.1`);
    return true;
  }

  copyTruncate(): boolean {
    if (!existsSync(this.path) || statSync(this.path).size === 0) return false;
    this.#shift();
    copyFileSync(this.path, `${this.path}.1`);
    utimesSync(`${this.path}.1`, ++this.#seconds, this.#seconds);
    truncateSync(this.path);
    utimesSync(this.path, ++this.#seconds, this.#seconds);
    // The writer continues in the same file, with new content.
    if (this.#writer !== undefined && this.#isAtPath(this.#writer.fd)) {
      this.#writer.content = this.contents.push("") - 1;
    }
    return true;
  }

  /** Without a copy. */
  truncate(): void {
    if (!existsSync(this.path)) return;
    truncateSync(this.path);
    if (this.#writer !== undefined && this.#isAtPath(this.#writer.fd)) {
      this.#writer.content = this.contents.push("") - 1;
    }
  }

  /** The writer continues in its open file. */
  delete(name: string): void {
    rmSync(join(this.directory, name), { force: true });
  }

  /** Nobody can read what is written now, but who has the file open. */
  get isWriterOnDeletedFile(): boolean {
    return this.#writer !== undefined && fstatSync(this.#writer.fd).nlink === 0;
  }

  replaceDirectory(): void {
    rmSync(this.directory, { recursive: true });
    mkdirSync(this.directory);
  }

  compress(name: string): boolean {
    const path = join(this.directory, name);
    if (!existsSync(path) || statSync(path).ino === this.#writerInode()) return false;
    const { mtime } = statSync(path);
    writeFileSync(`${path}.gz`, gzipSync(readFileSync(path)));
    utimesSync(`${path}.gz`, mtime, mtime);
    rmSync(path);
    return true;
  }

  remove(): void {
    this.reopen();
    rmSync(this.directory, { recursive: true, force: true });
  }

  #nextStamp(): string {
    return String(++this.#count).padStart(7, "0");
  }

  #open(): { fd: number; content: number } {
    const known = existsSync(this.path) && statSync(this.path).size > 0;
    const fd = openSync(this.path, "a");
    // A writer that comes back to a file with lines adds to the newest content.
    return { fd, content: known ? this.contents.length - 1 : this.contents.push("") - 1 };
  }

  #isAtPath(fd: number): boolean {
    return existsSync(this.path) && statSync(this.path).ino === fstatSync(fd).ino;
  }

  #writerInode(): number | undefined {
    return this.#writer === undefined ? undefined : fstatSync(this.#writer.fd).ino;
  }

  #shift(): void {
    const names = readdirSync(this.directory)
      .map((name) => /^kern\.log\.(\d+)(\.gz)?$/.exec(name))
      .filter((match) => match !== null)
      .sort((a, b) => Number(b[1]) - Number(a[1]));
    for (const [name, count, gz] of names) {
      const older = `${this.path}.${Number(count) + 1}${gz ?? ""}`;
      renameSync(join(this.directory, name), older);
    }
  }
}
