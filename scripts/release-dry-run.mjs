/*
 * What of docs/releasing.md a script can check, without publishing anything:
 *
 *   npm run release:dry-run [-- VERSION]
 *
 * Says of each step whether it is right, and lists what was made.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { version: current } = JSON.parse(readFileSync("package.json", "utf8"));
const version = process.argv[2] ?? current;
const outdir = mkdtempSync(join(tmpdir(), "oom-exporter-release-"));

const quietlyIn = (cwd, program, ...args) =>
  execFileSync(program, args, { cwd, encoding: "utf8", stdio: "pipe" });
const quietly = (program, ...args) => quietlyIn(".", program, ...args);
const visibly = (program, ...args) => execFileSync(program, args, { stdio: "inherit" });

/** Each says what is wrong, or nothing. */
const steps = {
  "nothing is uncommitted": () => quietly("git", "status", "--porcelain").trim(),
  "the version is one, and new": () => {
    if (!/^\d+\.\d+\.\d+$/.test(version)) return `${version} is not such as 1.2.3`;
    const tag = quietly("git", "tag", "--list", `v${version}`).trim();
    return tag && `the tag ${tag} is there already`;
  },
  "package.json has it": () =>
    version === current ? "" : `it says ${current}: npm version --no-git-tag-version ${version}`,
  "the changelog has it": () =>
    readFileSync("CHANGELOG.md", "utf8").includes(`\n## ${version} `)
      ? ""
      : `no section "## ${version} / DATE" in CHANGELOG.md; "Unreleased" becomes it`,
  "the program is built": () => quietly("npm", "run", "--silent", "build") && "",
  "the other places that name the version have it": () =>
    visibly(
      "npx",
      "vitest",
      "run",
      "--project",
      "unit",
      "test/packaging",
      "test/deploy/chart.test.ts",
    ),
  "licences are listed": () =>
    visibly("npx", "vitest", "run", "--project", "unit", "test/third-party.test.ts"),
  "rpmbuild is here": () =>
    quietly("sh", "-c", "command -v rpmbuild || :") === "" ? "apt-get install rpm" : "",
  "packages are made": () =>
    visibly("npm", "run", "--silent", "package", "--", `--outdir=${outdir}`),
  "their checksums are right": () =>
    quietlyIn(outdir, "sha256sum", "--check", "--quiet", "SHA256SUMS"),
  "the executable runs": () => {
    const name = readdirSync(outdir).find((file) => /^oom-exporter-linux-\w+$/.test(file));
    const said = quietly(join(outdir, name), "--version");
    return said.startsWith(`oom-exporter ${current} `) ? "" : `it says ${said}`;
  },
  "the npm package is made": () =>
    quietly("npm", "pack", "--silent", "--pack-destination", outdir) && "",
};

let wrong = 0;
try {
  for (const [step, check] of Object.entries(steps)) {
    const problem = outcomeOf(check);
    process.stdout.write(problem ? `WRONG  ${step}: ${problem}\n` : `ok     ${step}\n`);
    if (problem) wrong++;
  }
  for (const name of readdirSync(outdir)) {
    const megabytes = statSync(join(outdir, name)).size / 1e6;
    process.stdout.write(`${megabytes.toFixed(1).padStart(8)} MB  ${name}\n`);
  }
} finally {
  rmSync(outdir, { recursive: true, force: true });
}
process.stdout.write(
  wrong > 0
    ? `${wrong} of ${Object.keys(steps).length} are wrong\n`
    : "ready; what is left is by hand: docs/releasing.md, steps 3 to 5 and 8 to 10\n",
);
process.exitCode = wrong > 0 ? 1 : 0;

function outcomeOf(check) {
  try {
    return check() || "";
  } catch (error) {
    return (error.stderr?.toString() || error.message).trim().split("\n").slice(-3).join(" ");
  }
}
