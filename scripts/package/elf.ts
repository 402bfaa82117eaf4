/** What an ELF file (elf(5), 64 bit, little-endian) says of the processor and the libraries that it needs. */
export interface Needs {
  architecture: Architecture;
  /** The highest version of each of its symbol versions, such as `GLIBC` -> `2.28`. */
  versions: Readonly<Partial<Record<string, string>>>;
}

/** As Debian, RPM and CycloneDX name a processor. */
export type Architecture = "amd64" | "arm64";

const machines: Readonly<Record<number, Architecture>> = { 62: "amd64", 183: "arm64" };

/** @throws {Error} where the file is no executable for a processor that packages are made for */
export function readElf(file: Buffer): Needs {
  const architecture = machines[file.length > 64 ? file.readUInt16LE(18) : 0];
  if (file.toString("latin1", 0, 6) !== "\x7fELF\x02\x01" || architecture === undefined) {
    throw new Error("not a Linux executable for amd64 or arm64");
  }
  const versions: Record<string, string> = {};
  for (const name of dynamicStrings(file)) {
    const [, family, version] = /^(GLIBC|GLIBCXX|CXXABI|GCC)_(\d+(?:\.\d+)*)$/.exec(name) ?? [];
    if (family === undefined || version === undefined) continue;
    const before = versions[family];
    if (before === undefined || compareVersions(before, version) < 0) versions[family] = version;
  }
  return { architecture, versions };
}

/** The names of .dynstr, among them the symbol versions that the dynamic linker has to find. */
function dynamicStrings(file: Buffer): string[] {
  const at = Number(file.readBigUInt64LE(40));
  const size = file.readUInt16LE(58);
  const sections = Array.from({ length: file.readUInt16LE(60) }, (_, index) =>
    file.subarray(at + index * size, at + (index + 1) * size),
  );
  const symbols = sections.find((section) => section.readUInt32LE(4) === dynamicSymbols);
  const names = symbols && sections[symbols.readUInt32LE(40)];
  if (names === undefined) return [];
  const begin = Number(names.readBigUInt64LE(24));
  return file.toString("latin1", begin, begin + Number(names.readBigUInt64LE(32))).split("\0");
}

/** SHT_DYNSYM, whose sh_link is its string table. */
const dynamicSymbols = 11;

/** Below 0 where the first is the older one. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => text.split(".").map(Number)) as [number[], number[]];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** GCC's releases by the last symbol version of their libstdc++ (gcc.gnu.org/onlinedocs/libstdc++/manual/abi.html). */
const gccOfLibstdcxx: readonly (readonly [glibcxx: string, gcc: string])[] = [
  ["3.4.21", "5.1"],
  ["3.4.22", "6.1"],
  ["3.4.24", "7.2"],
  ["3.4.25", "8.1"],
  ["3.4.26", "9.1"],
  ["3.4.28", "9.3"],
  ["3.4.29", "11.1"],
  ["3.4.30", "12.1"],
  ["3.4.32", "13.1"],
  ["3.4.33", "14.1"],
];

/** Debian's packages of the libraries, in the versions that the executable needs. */
export function debianDependencies({ versions }: Needs): string[] {
  const { GLIBC = "2.28", GLIBCXX = "3.4.21", GCC = "3.0" } = versions;
  const gcc = gccOfLibstdcxx.find(([glibcxx]) => compareVersions(GLIBCXX, glibcxx) <= 0)?.[1];
  if (gcc === undefined) throw new Error(`no release of GCC is known for GLIBCXX_${GLIBCXX}`);
  return [`libc6 (>= ${GLIBC})`, `libgcc-s1 (>= ${GCC})`, `libstdc++6 (>= ${gcc})`];
}
