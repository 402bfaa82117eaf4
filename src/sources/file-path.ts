/** A path in procfs or cgroupfs. Only bytes lead to a name that is not UTF-8. */
export type FilePath = string | BytePath;

/** The name of one entry, as bytes if it is not UTF-8. */
export type FileName = string | Buffer;

/** What a system call of `node:fs` accepts. */
export type CallPath = string | Buffer;

/** Longer than any path that a system call takes. */
const scratch = Buffer.allocUnsafeSlow(8192);

/** A path of bytes. It keeps its own name only: thousands of cgroups share the bytes of their parent, up to 4 KiB. */
class BytePath {
  readonly #parent: Buffer;
  readonly #name: Buffer;
  #whole: Buffer | undefined;

  constructor(parent: Buffer, name: Buffer) {
    this.#parent = parent;
    this.#name = name;
  }

  /** The whole path, kept for the paths below it. */
  get bytes(): Buffer {
    if (this.#whole === undefined) {
      // Out of the pool: there each path of 4 KiB would hold 8 KiB.
      this.#whole = Buffer.allocUnsafeSlow(this.#length);
      this.#write(this.#whole);
    }
    return this.#whole;
  }

  /** The path of an entry, or its own; valid until the next call. */
  passing(entry: string | undefined): Buffer {
    const tail = entry === undefined ? "" : `/${entry}`;
    const length = this.#length + Buffer.byteLength(tail);
    const target = length <= scratch.length ? scratch : Buffer.allocUnsafeSlow(length);
    target.write(tail, this.#write(target));
    return target.subarray(0, length);
  }

  get #length(): number {
    return this.#parent.length + 1 + this.#name.length;
  }

  #write(target: Buffer): number {
    this.#parent.copy(target);
    target[this.#parent.length] = slash;
    this.#name.copy(target, this.#parent.length + 1);
    return this.#length;
  }
}

const slash = 0x2f;

/** Makes the paths of a directory's entries, which share its bytes. */
export function pathsBelow(directory: FilePath): (name: FileName) => FilePath {
  let bytes: Buffer | undefined;
  return (name) => {
    if (typeof directory === "string" && typeof name === "string") return `${directory}/${name}`;
    bytes ??= typeof directory === "string" ? Buffer.from(directory) : directory.bytes;
    return new BytePath(bytes, Buffer.from(name));
  };
}

/** A path, or that of an entry of this directory, for a system call that follows at once. */
export function callPath(path: FilePath, entry?: string): CallPath {
  if (typeof path !== "string") return path.passing(entry);
  return entry === undefined ? path : `${path}/${entry}`;
}
