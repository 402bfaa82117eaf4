import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

/** A file of a package: where it is put, with what in it. */
export interface PackagedFile {
  /** Without a slash at its beginning. */
  path: string;
  mode: 0o644 | 0o755;
  contents: Buffer | string;
  /** A configuration that an upgrade leaves as the administrator has it. */
  isConfiguration?: boolean;
}

/** What is built before a package is put together. */
export interface Built {
  version: string;
  /** Of the Node.js inside. */
  nodeVersion: string;
  /** Seconds since 1970: every time in a package, so that the same source makes the same bytes. */
  epoch: number;
  executable: Buffer;
  /** Node.js' own, with those of the libraries in it. */
  nodeLicense: string;
  sbom: string;
}

export type Format = "deb" | "rpm" | "tar";

const unitsPath = "usr/lib/systemd/system";
const sharePath = "usr/share/oom-exporter";
const docPath = "usr/share/doc/oom-exporter";

/** Everything that is installed by a package of the format, or lies in the tarball. */
export function packageTree(root: string, format: Format, built: Built): PackagedFile[] {
  const read = (path: string) => readFileSync(join(root, path), "utf8");
  const text = (path: string, from: string): PackagedFile => ({
    path,
    mode: 0o644,
    contents: read(from),
  });
  const folder = (path: string, from: string, pattern = /./): PackagedFile[] =>
    readdirSync(join(root, from))
      .filter((name) => pattern.test(name))
      .sort()
      .map((name) => text(`${path}/${name}`, `${from}/${name}`));
  const data = (path: string) => [
    ...folder(`${path}/rules`, "prometheus-rules", /\.yml$/),
    ...folder(`${path}/dashboards`, "grafana/dashboards", /\.json$/),
    ...folder(`${path}/runbooks`, "docs/runbooks", /\.md$/),
    ...folder(`${path}/software`, "docs/software", /\.md$/),
  ];
  const manual = manualOf(read("packaging/oom-exporter.1"), built);
  if (format === "tar") {
    return [
      { path: "oom-exporter", mode: 0o755, contents: built.executable },
      text("README.md", "packaging/tarball.md"),
      text("LICENSE", "LICENSE"),
      text("npm-packages.txt", "THIRD-PARTY-LICENSES.txt"),
      { path: "nodejs.txt", mode: 0o644, contents: built.nodeLicense },
      { path: "sbom.cdx.json", mode: 0o644, contents: built.sbom },
      { path: "oom-exporter.1", mode: 0o644, contents: manual },
      ...folder("completions", "packaging/completions"),
      ...folder("systemd", "deploy/systemd", /\.(service|socket|slice)$/),
      ...folder("systemd/oom-exporter.service.d", "deploy/systemd/oom-exporter.service.d"),
      text("default", "packaging/default"),
      ...data(".").map((file) => ({ ...file, path: file.path.slice(2) })),
    ];
  }
  const settings = format === "deb" ? "etc/default" : "etc/sysconfig";
  const zsh = format === "deb" ? "vendor-completions" : "site-functions";
  const unit = unitOf(read("deploy/systemd/oom-exporter.service"), settings);
  const packed = (path: string, contents: string): PackagedFile => ({
    path,
    mode: 0o644,
    contents: gzipped(contents),
  });
  return [
    { path: "usr/bin/oom-exporter", mode: 0o755, contents: built.executable },
    {
      path: `${settings}/oom-exporter`,
      mode: 0o644,
      contents: read("packaging/default"),
      isConfiguration: true,
    },
    { path: `${unitsPath}/oom-exporter.service`, mode: 0o644, contents: unit },
    // Without it the unit sees no kill where no syslog daemon writes a kern.log, which is the rule today.
    text(
      `${unitsPath}/oom-exporter.service.d/kmsg.conf`,
      "deploy/systemd/oom-exporter.service.d/kmsg.conf",
    ),
    text(`${unitsPath}/oom-exporter.socket`, "deploy/systemd/oom-exporter.socket"),
    text(`${unitsPath}/oomexporter.slice`, "deploy/systemd/oomexporter.slice"),
    text(
      `${sharePath}/systemd/container-names.conf`,
      "deploy/systemd/oom-exporter.service.d/container-names.conf",
    ),
    ...data(sharePath),
    packed("usr/share/man/man1/oom-exporter.1.gz", manual),
    text(
      "usr/share/bash-completion/completions/oom-exporter",
      "packaging/completions/oom-exporter.bash",
    ),
    text(`usr/share/zsh/${zsh}/_oom-exporter`, "packaging/completions/_oom-exporter"),
    text(
      "usr/share/fish/vendor_completions.d/oom-exporter.fish",
      "packaging/completions/oom-exporter.fish",
    ),
    packed(`${docPath}/NEWS.md.gz`, read("CHANGELOG.md")),
    packed(`${docPath}/sbom.cdx.json.gz`, built.sbom),
    packed(`${docPath}/nodejs.txt.gz`, built.nodeLicense),
    packed(`${docPath}/npm-packages.txt.gz`, read("THIRD-PARTY-LICENSES.txt")),
    ...(format === "deb"
      ? [
          text(`${docPath}/copyright`, "packaging/debian/copyright"),
          packed(`${docPath}/changelog.gz`, debianChangelog(built)),
          text("usr/share/lintian/overrides/oom-exporter", "packaging/debian/lintian-overrides"),
        ]
      : [text("usr/share/licenses/oom-exporter/LICENSE", "LICENSE")]),
  ];
}

/** The unit of the checkout, for the paths of a package. */
function unitOf(unit: string, settings: string): string {
  return unit
    .replace(
      /^(?:#.*\n)+\n?/,
      "# Part of the package; `systemctl edit oom-exporter` adds to it.\n\n",
    )
    .replace(/^(ExecStart|ExecStartPost)=oom-exporter /gm, "$1=/usr/bin/oom-exporter ")
    .replace("EnvironmentFile=-/etc/default/", `EnvironmentFile=-/${settings}/`);
}

function manualOf(page: string, { version, epoch }: Built): string {
  const date = new Date(epoch * 1000).toISOString().slice(0, 10);
  return page.replace(
    '.TH OOM-EXPORTER 1 "" "oom-exporter"',
    `.TH OOM-EXPORTER 1 "${date}" "oom-exporter ${version}"`,
  );
}

export const maintainer = "oom-exporter maintainers <oom-exporter@users.noreply.github.com>";

function debianChangelog({ version, epoch }: Built): string {
  const date = new Date(epoch * 1000).toUTCString().replace("GMT", "+0000");
  return [
    `oom-exporter (${version}) unstable; urgency=medium`,
    "",
    "  * New release; /usr/share/doc/oom-exporter/NEWS.md.gz lists the changes.",
    "",
    ` -- ${maintainer}  ${date}`,
    "",
  ].join("\n");
}

/** Without a time and a name in it. */
function gzipped(contents: string): Buffer {
  const packed = gzipSync(contents, { level: 9 });
  // The kind of system it was made on, which zlib writes and gzip(1) sets to Unix.
  packed[9] = 3;
  return packed;
}
