import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { Spec, Validation } from "@cyclonedx/cyclonedx-library";
import { hashSync } from "bcryptjs";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { compareVersions, readElf } from "../../scripts/package/elf.ts";
import { debianPrograms } from "../kit/debian-programs.ts";
import { run } from "../kit/run.ts";
import { debianTool } from "../setup/debian-tools.ts";
import { startExporter, temporaryDirectory } from "../setup/exporter-process.ts";

/*
 * What `npm run package` made, run and looked at: npm run test:packages
 */

const { version } = JSON.parse(readFileSync("package.json", "utf8"));
const artefacts = () => inject("artefacts");
const artefact = (name: RegExp) => {
  const found = readdirSync(artefacts()).find((candidate) => name.test(candidate));
  return join(artefacts(), found as string);
};
const executable = () => artefact(/^oom-exporter-linux-\w+$/);
const output = (program: string, ...args: string[]) =>
  execFileSync(program, args, { encoding: "utf8", env: { PATH: "/usr/bin:/bin" } });

let directory: ReturnType<typeof temporaryDirectory>;

beforeAll(() => {
  directory = temporaryDirectory();
});

afterAll(() => directory.remove());

describe("what is made", () => {
  it("has checksums that are right, and a bill of materials beside each artefact", async () => {
    execFileSync("sha256sum", ["--check", "--quiet", "--strict", "SHA256SUMS"], {
      cwd: artefacts(),
    });
    const names = readdirSync(artefacts());
    const products = names.filter((name) => !/\.cdx\.json$|^SHA256SUMS$/.test(name)).sort();
    expect(products.map((name) => name.replace(/amd64|arm64|x86_64|aarch64/, "CPU"))).toEqual([
      `oom-exporter-${version}-1.CPU.rpm`,
      `oom-exporter-${version}-linux-CPU.tar.gz`,
      "oom-exporter-linux-CPU",
      "oom-exporter.mjs",
      `oom-exporter_${version}_CPU.deb`,
    ]);
    const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6);
    for (const name of products) {
      const text = readFileSync(join(artefacts(), `${name}.cdx.json`), "utf8");
      expect(await validator.validate(text), name).toBeNull();
    }
    console.log(
      products
        .map((name) => `${(statSync(join(artefacts(), name)).size / 1e6).toFixed(1)} MB  ${name}`)
        .join("\n"),
    );
  });
});

describe("the executable", () => {
  it("runs where there is no Node.js on PATH, and says its version", () => {
    expect(output(executable(), "--version")).toMatch(
      new RegExp(`^oom-exporter ${version} \\(Node\\.js \\d+\\.\\d+\\.\\d+\\)\\n$`),
    );
  });

  it("explains as the bundle does", () => {
    const log = resolve("test/fixtures/logs/memcg-v2-group.kern.log.gz");
    const bundle = join(artefacts(), "oom-exporter.mjs");
    expect(output(executable(), "explain", "--json", log)).toBe(
      output(process.execPath, bundle, "explain", "--json", log),
    );
  });

  it("serves, checks itself and compares passwords on its thread", async () => {
    const config = join(directory.path, "web.yml");
    writeFileSync(config, `basic_auth_users: { alice: "${hashSync("secret", 4)}" }\n`);
    const flags = [`--web.config.file=${config}`, "--kernel-log.source=none"];
    const exporter = await startExporter(flags, {
      command: [executable()],
      env: { PATH: "/usr/bin:/bin" },
    });
    try {
      const { url } = exporter;
      const ask = (password: string) =>
        fetch(`${url}/metrics`, {
          headers: {
            authorization: `Basic ${Buffer.from(`alice:${password}`).toString("base64")}`,
          },
        });
      const answer = await ask("secret");
      expect(answer.status).toBe(200);
      expect(await answer.text()).toContain(`oom_exporter_build_info{version="${version}"`);
      expect((await ask("wrong")).status).toBe(401);
      const address = url.replace("http://", "");
      expect(output(executable(), "--check", `--web.listen-address=${address}`)).toBe("");
    } finally {
      await exporter.end();
    }
  });

  it("needs no newer glibc and libstdc++ than Debian 10 and RHEL 8 have", () => {
    const { versions } = readElf(readFileSync(executable()));
    expect(compareVersions(versions.GLIBC as string, "2.28")).toBeLessThanOrEqual(0);
    expect(compareVersions(versions.GLIBCXX as string, "3.4.25")).toBeLessThanOrEqual(0);
  });
});

describe("the tarball", () => {
  it("unpacks to files that its own checksums know, and runs", () => {
    execFileSync("tar", ["-C", directory.path, "-xf", artefact(/\.tar\.gz$/)]);
    const name = readdirSync(directory.path).find((entry) => entry.startsWith("oom-exporter-"));
    const home = join(directory.path, name as string);
    execFileSync("sha256sum", ["--check", "--quiet", "--strict", "SHA256SUMS"], { cwd: home });
    expect(output(join(home, "oom-exporter"), "--version")).toContain(version);
  });
});

describe("the Debian package", () => {
  it("is what lintian wants, but for what the overrides give a reason for", async () => {
    const { env } = await debianPrograms(["lintian"]);
    // Its exit status counts what is overridden too.
    const options = ["--allow-root", "--fail-on", "none", "--show-overrides"];
    const said = await run("lintian", [...options, artefact(/\.deb$/)], { env });
    console.log(said);
    expect(said.split("\n").filter((line) => /^[EW]:/.test(line))).toEqual([]);
  });

  it("has checksums of its files and scripts that a shell can read", () => {
    const tree = join(directory.path, "deb");
    execFileSync("dpkg-deb", ["-R", artefact(/\.deb$/), tree]);
    execFileSync("md5sum", ["--check", "--quiet", "--strict", "DEBIAN/md5sums"], { cwd: tree });
    for (const script of ["postinst", "prerm", "postrm"]) {
      execFileSync("sh", ["-n", join(tree, "DEBIAN", script)]);
    }
  });
});

describe("the RPM package", () => {
  it("installs into an empty root, verifies, runs and is removed without a trace", async () => {
    const { root, env } = await debianPrograms(["rpm"]);
    const settings = { ...env, RPM_CONFIGDIR: join(root, "usr/lib/rpm") };
    const home = join(directory.path, "rpm");
    mkdirSync(home);
    const rpm = (...args: string[]) =>
      run("rpm", ["--root", home, "--dbpath", "/rpmdb", ...args], { env: settings });
    const options = ["--nodeps", "--noscripts"];
    await rpm("--install", ...options, artefact(/\.rpm$/));
    expect(await rpm("--verify", "--nodeps", "oom-exporter")).toBe("");
    expect(output(join(home, "usr/bin/oom-exporter"), "--version")).toContain(version);
    expect(await rpm("--query", "--configfiles", "oom-exporter")).toBe(
      "/etc/sysconfig/oom-exporter\n",
    );
    await rpm("--erase", ...options, "oom-exporter");
    const left = await run("find", [home, "-name", "*oom*exporter*"]);
    expect(left).toBe("");
  });
});

describe("the completions", () => {
  it("are read by zsh and offered by fish", async () => {
    const [zsh, fish] = [
      await debianTool("zsh", "bin/zsh"),
      await debianTool("fish", "usr/bin/fish"),
    ];
    expect([zsh.obstacle, fish.obstacle]).toEqual([undefined, undefined]);
    execFileSync(zsh.path as string, ["-n", "packaging/completions/_oom-exporter"]);
    // Unpacked, it does not find its own functions.
    const functions = join(dirname(fish.path as string), "root/usr/share/fish/functions");
    const offered = (line: string) => {
      const found = `test -d ${functions}; and set -g fish_function_path ${functions}`;
      const script = `${found}; source packaging/completions/oom-exporter.fish; complete -C '${line}'`;
      const env = { ...process.env, HOME: directory.path, XDG_CONFIG_HOME: directory.path };
      return execFileSync(fish.path as string, ["--no-config", "-c", script], {
        encoding: "utf8",
        env,
      });
    };
    expect(offered("oom-exporter ")).toMatch(/^explain\texplain the kills/m);
    expect(offered("oom-exporter victims --c")).toMatch(/^--cgroup=?\tRank/m);
    expect(offered("oom-exporter --log.format=")).toMatch(/json/);
  });
});
