import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { readElf } from "../../scripts/package/elf.ts";
import { debianControl } from "../../scripts/package/formats.ts";
import {
  type Built,
  type Format,
  type PackagedFile,
  packageTree,
} from "../../scripts/package/tree.ts";

const built: Built = {
  version: "1.2.3",
  nodeVersion: "20.20.2",
  epoch: 1_790_000_000,
  executable: Buffer.from("an executable"),
  nodeLicense: "Node.js is licensed for use as follows",
  sbom: "{}",
};

function filesOf(format: Format): Map<string, PackagedFile> {
  return new Map(packageTree(resolve("."), format, built).map((file) => [file.path, file]));
}

function textOf(files: ReadonlyMap<string, PackagedFile>, path: string): string {
  const { contents } = files.get(path) as PackagedFile;
  return (path.endsWith(".gz") ? gunzipSync(contents as Buffer) : contents).toString();
}

const runbooks = readdirSync("docs/runbooks").sort();
const software = readdirSync("docs/software").sort();

describe("the Debian package", () => {
  it("has these files", () => {
    expect([...filesOf("deb").keys()].sort()).toEqual(
      [
        "etc/default/oom-exporter",
        "usr/bin/oom-exporter",
        "usr/lib/systemd/system/oom-exporter.service",
        "usr/lib/systemd/system/oom-exporter.service.d/kmsg.conf",
        "usr/lib/systemd/system/oom-exporter.socket",
        "usr/lib/systemd/system/oomexporter.slice",
        "usr/share/bash-completion/completions/oom-exporter",
        "usr/share/doc/oom-exporter/NEWS.md.gz",
        "usr/share/doc/oom-exporter/changelog.gz",
        "usr/share/doc/oom-exporter/copyright",
        "usr/share/doc/oom-exporter/nodejs.txt.gz",
        "usr/share/doc/oom-exporter/npm-packages.txt.gz",
        "usr/share/doc/oom-exporter/sbom.cdx.json.gz",
        "usr/share/fish/vendor_completions.d/oom-exporter.fish",
        "usr/share/lintian/overrides/oom-exporter",
        "usr/share/man/man1/oom-exporter.1.gz",
        ...["fleet", "host", "workload"].map(
          (name) => `usr/share/oom-exporter/dashboards/${name}.json`,
        ),
        "usr/share/oom-exporter/rules/alerts.yml",
        "usr/share/oom-exporter/rules/recording.yml",
        ...runbooks.map((name) => `usr/share/oom-exporter/runbooks/${name}`),
        ...software.map((name) => `usr/share/oom-exporter/software/${name}`),
        "usr/share/oom-exporter/systemd/container-names.conf",
        "usr/share/zsh/vendor-completions/_oom-exporter",
      ].sort(),
    );
  });

  it("can be executed in one place only, and keeps one configuration over an upgrade", () => {
    const files = [...filesOf("deb").values()];
    expect(files.filter(({ mode }) => mode === 0o755).map(({ path }) => path)).toEqual([
      "usr/bin/oom-exporter",
    ]);
    expect(files.filter(({ isConfiguration }) => isConfiguration).map(({ path }) => path)).toEqual([
      "etc/default/oom-exporter",
    ]);
  });

  it("needs the libraries of the Node.js inside, in its versions", () => {
    const fields = new Map(
      debianControl({ ...built, executable: readFileSync(process.execPath) }, 90_000_000)
        .split(/\n(?! )/)
        .map((line) => line.split(/: (.*)/s) as [string, string]),
    );
    expect(fields.get("Package")).toBe("oom-exporter");
    expect(fields.get("Version")).toBe("1.2.3");
    expect(fields.get("Architecture")).toMatch(/^(amd64|arm64)$/);
    expect(fields.get("Installed-Size")).toBe("87891");
    const { versions } = readElf(readFileSync(process.execPath));
    expect(versions.GLIBC).toMatch(/^2\.\d+$/);
    expect(fields.get("Depends")).toContain(`libc6 (>= ${versions.GLIBC})`);
    expect(fields.get("Depends")).toMatch(
      /^libc6 \(>= 2\.\d+\), libgcc-s1 \(>= [\d.]+\), libstdc\+\+6 \(>= [\d.]+\), init-system-helpers/,
    );
    expect(fields.get("Description")).toContain("Node.js 20.20.2 is part of the executable.");
  });

  it("says its version and day in the manual and the changelog", () => {
    const files = filesOf("deb");
    expect(textOf(files, "usr/share/man/man1/oom-exporter.1.gz")).toContain(
      '.TH OOM-EXPORTER 1 "2026-09-21" "oom-exporter 1.2.3"',
    );
    expect(textOf(files, "usr/share/doc/oom-exporter/changelog.gz")).toMatch(
      /^oom-exporter \(1\.2\.3\) unstable; urgency=medium\n[\s\S]*\n -- .* <.*> {2}Mon, 21 Sep 2026 14:13:20 \+0000\n$/,
    );
  });
});

describe("the RPM package", () => {
  it("differs from Debian's in where settings, completions and licence are", () => {
    const [deb, rpm] = [filesOf("deb"), filesOf("rpm")];
    expect([...rpm.keys()].filter((path) => !deb.has(path)).sort()).toEqual([
      "etc/sysconfig/oom-exporter",
      "usr/share/licenses/oom-exporter/LICENSE",
      "usr/share/zsh/site-functions/_oom-exporter",
    ]);
    expect([...deb.keys()].filter((path) => !rpm.has(path)).sort()).toEqual([
      "etc/default/oom-exporter",
      "usr/share/doc/oom-exporter/changelog.gz",
      "usr/share/doc/oom-exporter/copyright",
      "usr/share/lintian/overrides/oom-exporter",
      "usr/share/zsh/vendor-completions/_oom-exporter",
    ]);
  });

  it("has every file in its list", () => {
    const spec = readFileSync("packaging/rpm/oom-exporter.spec", "utf8");
    const listed = [...spec.matchAll(/^%(?:attr|config).* (\/\S+)$/gm)].map(([, path]) =>
      (path as string).slice(1).replace(/\*$/, ""),
    );
    const unlisted = [...filesOf("rpm").keys()].filter(
      (path) => !listed.some((prefix) => path.startsWith(prefix)),
    );
    expect(unlisted).toEqual([]);
  });
});

describe.each([
  ["deb", "/etc/default/oom-exporter"],
  ["rpm", "/etc/sysconfig/oom-exporter"],
] as const)("the unit of the %s", (format, settings) => {
  const unit = () => textOf(filesOf(format), "usr/lib/systemd/system/oom-exporter.service");

  it("runs the package's own executable with the package's own settings", () => {
    expect(unit().match(/^Exec\w+=\S+/gm)).toEqual([
      "ExecStart=/usr/bin/oom-exporter",
      "ExecStartPost=/usr/bin/oom-exporter",
    ]);
    expect(unit().match(/^EnvironmentFile=.*/gm)).toEqual([`EnvironmentFile=-${settings}`]);
  });

  it("does not speak of copying it", () => {
    expect(unit()).not.toMatch(/npm|copy/i);
  });
});

describe("the tarball", () => {
  it("has what the packages have, for somebody who installs by hand", () => {
    const files = filesOf("tar");
    expect([...files.keys()].sort()).toEqual(
      [
        ...["LICENSE", "README.md", "default", "nodejs.txt", "npm-packages.txt", "oom-exporter"],
        ...["oom-exporter.1", "sbom.cdx.json", "rules/alerts.yml", "rules/recording.yml"],
        ...["_oom-exporter", "oom-exporter.bash", "oom-exporter.fish"].map(
          (name) => `completions/${name}`,
        ),
        ...["fleet", "host", "workload"].map((name) => `dashboards/${name}.json`),
        ...runbooks.map((name) => `runbooks/${name}`),
        ...software.map((name) => `software/${name}`),
        "systemd/oom-exporter.service",
        "systemd/oom-exporter.service.d/container-names.conf",
        "systemd/oom-exporter.service.d/kmsg.conf",
        "systemd/oom-exporter.socket",
        "systemd/oomexporter.slice",
      ].sort(),
    );
    expect(files.get("oom-exporter")?.mode).toBe(0o755);
  });

  it("names in its README only what is in it", () => {
    const files = [...filesOf("tar").keys()];
    const readme = textOf(filesOf("tar"), "README.md");
    const named = [
      ...readme.matchAll(
        /(?:^|[\s`(./])((?:systemd|rules|dashboards|runbooks|completions)\/|default|\w[\w-]*\.(?:txt|1))(?=[\s`.*]|$)/gm,
      ),
    ];
    expect(named.length).toBeGreaterThan(6);
    for (const [, name = ""] of named) {
      expect(
        files.some((path) => path === name || path.startsWith(name)),
        name,
      ).toBe(true);
    }
  });
});

describe("the same source", () => {
  it("makes the same bytes", () => {
    expect(packageTree(resolve("."), "deb", built)).toEqual(
      packageTree(resolve("."), "deb", built),
    );
    const packed = filesOf("deb").get("usr/share/man/man1/oom-exporter.1.gz")?.contents as Buffer;
    // No time, no file name, and Unix as the system it was made on (RFC 1952).
    expect([...packed.subarray(3, 10)]).toEqual([0, 0, 0, 0, 0, 2, 3]);
  });
});

it("the README starts a container by the line that docs/install.md has", () => {
  const [readme, install] = ["README.md", "docs/install.md"].map(
    (file) => /^ {4}docker run --detach (?:.*\\\n)*.*$/m.exec(readFileSync(file, "utf8"))?.[0],
  );
  expect(readme).toContain("--device /dev/kmsg");
  expect(install).toBe(readme);
});

describe("the version of package.json", () => {
  const { version } = JSON.parse(readFileSync("package.json", "utf8"));

  it.each([
    ["docker/Dockerfile", /^ARG VERSION=(\S+)$/gm],
    ["docker/compose.yaml", /image: oom-exporter:(\S+)$/gm],
    ["docker/README.md", /oom-exporter:(\d[\w.-]*)/g],
    ["README.md", /oom-exporter[_:](\d[\d.]*\d)/g],
    ["docs/install.md", /oom-exporter[_:-](\d[\d.]*\d)/g],
    ["docs/openapi.yaml", /^ +version: (\d\S+)$/gm],
    ["docs/testing-in-a-vm.md", /oom-exporter_(\d[\d.]*)_amd64/g],
    ["deploy/kubernetes/base/kustomization.yaml", /newTag: "?([^"\s]+)/g],
    ["deploy/kubernetes/README.md", /newTag: ([^"\s]+)/g],
    ["deploy/helm/oom-exporter/Chart.yaml", /^(?:appV|v)ersion: "?([^"\s]+)/gm],
  ])("is the one that %s names", (file, pattern) => {
    const named = [...readFileSync(file, "utf8").matchAll(pattern)].map(([, found]) => found);
    expect(new Set(named)).toEqual(new Set([version]));
  });
});
