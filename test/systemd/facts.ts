import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { inject } from "vitest";
import { bootSystemd } from "../vm/kit/machine.ts";

/** What a script in a Debian 13 with systemd found out, by name. */
export interface Facts {
  /** @throws {Error} if the script did not get that far */
  of(name: string): string;
  /** A file that it left under /results. */
  file(name: string): string;
}

/** Boots Debian 13 with its systemd and runs the script, to which guest.sh is there. */
export async function findOut(script: string, memoryMb = 768): Promise<Facts> {
  const end = await bootSystemd({
    script: `. /share/guest.sh\n${script}`,
    share: inject("packageShare"),
    kernel: process.env.OOM_EXPORTER_VM_KERNEL ?? "6.12",
    memoryMb,
    timeoutSeconds: 1100,
  });
  const read = (name: string) => readFileSync(join(end.results, name), "utf8");
  const text = read("facts");
  const files = new Map<string, string>();
  const keep = (name: string) => files.set(name, read(name));
  for (const name of /^files: (.*)$/m.exec(text)?.[1]?.split(" ") ?? []) keep(name);
  rmSync(end.results, { recursive: true, force: true });
  console.log(`${end.seconds.toFixed(0)} s\n${text}${end.stdout}${end.stderr}`);
  const facts = new Map(
    text
      .trimEnd()
      .split("\n")
      .map((line) => line.split(/: (.*)/s, 2) as [string, string]),
  );
  return {
    of(name) {
      const value = facts.get(name);
      if (value === undefined) throw new Error(`the script did not find out "${name}":\n${text}`);
      return value;
    },
    file: (name) => files.get(name) ?? "",
  };
}
