import { describe, expect, it } from "vitest";
import { missingLibraries, packageNames } from "./debian-tools.ts";

describe("libraries that the loader misses", () => {
  it("is each library that ldd does not find, once", () => {
    const ldd = [
      "/root/usr/lib/chromium/chromium:",
      "\tlinux-vdso.so.1 (0x00007ffd5a5f2000)",
      "\tlibpulse.so.0 => /root/usr/lib/x86_64-linux-gnu/libpulse.so.0 (0x00007f35b4e00000)",
      "\tlibpulsecommon-16.1.so => not found",
      "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f35b4000000)",
      "/root/usr/lib/chromium/other:",
      "\tlibpulsecommon-16.1.so => not found",
      "\tlibX11.so.6 => not found",
    ].join("\n");
    expect(missingLibraries(ldd)).toEqual(["libpulsecommon-16.1.so", "libX11.so.6"]);
  });

  it("is nothing for a static program", () => {
    expect(missingLibraries("\tnot a dynamic executable\n")).toEqual([]);
  });
});

describe("the Debian package of a library", () => {
  it.each([
    ["libestr.so.0", "libestr0"],
    ["libnss3.so", "libnss3"],
    ["libX11.so.6", "libx11-6"],
    ["libatk-1.0.so.0", "libatk-1.0-0"],
    ["libjson_foo.so.5", "libjson-foo5"],
  ])("of %s is %s, or the same with t64 behind", (library, name) => {
    expect(packageNames(library)).toEqual([name, `${name}t64`]);
  });

  it("is not guessed from names that are not libraries", () => {
    expect(packageNames("linux-vdso")).toEqual([]);
  });
});
