import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";

/** A file of the archive; a directory has no contents. */
export interface InitramfsFile {
  name: string;
  contents?: Buffer | string;
  isExecutable?: boolean;
}

/** Writes a cpio archive in the `newc` format (Documentation/driver-api/early-userspace/buffer-format.rst). */
export function writeInitramfs(path: string, files: readonly InitramfsFile[]): Promise<void> {
  const parts = files.map(({ name, contents, isExecutable }, index) => {
    const data = contents === undefined ? Buffer.alloc(0) : Buffer.from(contents);
    const mode = contents === undefined ? 0o040755 : isExecutable ? 0o100755 : 0o100644;
    return member(name, mode, index + 1, data);
  });
  return writeFile(path, Buffer.concat([...parts, member("TRAILER!!!", 0, 0, Buffer.alloc(0))]));
}

function member(name: string, mode: number, inode: number, data: Buffer): Buffer {
  const hex = (value: number) => value.toString(16).padStart(8, "0");
  // ino, mode, uid, gid, nlink, mtime, filesize, device of it (2), device it is (2), namesize, check
  const fields = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
  const header = Buffer.from(`070701${fields.map(hex).join("")}${name}\0`);
  return Buffer.concat([padded(header), padded(data)]);
}

function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((4 - (data.length % 4)) % 4)]);
}

export function fileOfHost(name: string, path: string, isExecutable = false): InitramfsFile {
  return { name, contents: readFileSync(path), isExecutable };
}
