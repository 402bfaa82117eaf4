/*
 * Names of containers and pods, from files that the kubelet and the runtimes leave on the host's disk: no API, socket or
 * credentials. All paths are below the root file system:
 *
 *   /var/log/containers/<pod>_<namespace>_<container>-<id>.log         the kubelet; the name says all
 *   /var/log/pods/<namespace>_<pod>_<uid>/                             the kubelet
 *   /var/lib/docker/containers/<id>/config.v2.json                     Docker; data-root as in daemon.json
 *   /run/containerd/io.containerd.runtime.v2.task/<ns>/<id>/config.json  containerd (also k3s, microk8s)
 *   /run/containers/storage/overlay-containers/<id>/userdata/config.json CRI-O
 *   /var/lib/containers/storage/overlay-containers/containers.json     Podman and CRI-O
 *   ~/.local/share/{docker,containers/storage}/...                     the same, rootless
 */
import {
  closeSync,
  constants,
  fstatSync,
  opendirSync,
  openSync,
  readSync,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { LeastRecentMap } from "../collections/bounded-map.ts";
import { type Owner, ownerOfCgroup } from "../kills/owner.ts";
import {
  containerdNames,
  containerLogNames,
  crioNames,
  dockerDataRoot,
  dockerNames,
  homeInPasswd,
  type Names,
  podLogNames,
  storageNames,
} from "./runtime-files.ts";

export interface OwnerNamesOptions {
  /** The host's `/`: `/` on the host, `/host` in a container. */
  rootfs: string;
  /** A monotonic clock, milliseconds. */
  now: () => number;
  /** Maximum number of cgroups, and of containers and pods, that are remembered; default `usualEntries`. */
  maxEntries?: number;
}

interface Lookup {
  owner: Owner;
  /** All names are known. */
  complete: boolean;
  attempts: number;
  retryAtMs: number;
}

/** Far more than the cgroups of a usual host, and those that have gone lately: each takes about half a KiB. */
export const usualEntries = 4096;
/** The runtimes write their files a moment before or after the cgroup appears. */
const retryGapsMs = [1_000, 10_000, 60_000, 600_000];
/** A listing or an index serves every lookup of one scrape. */
const listingAgeMs = 1_000;
const maxListing = 20_000;
/** A container's own description; Kubernetes puts whole manifests into annotations. */
const maxDescriptionBytes = 1 << 20;
/** `containers.json` has some 700 bytes per container. */
const maxIndexBytes = 8 << 20;

/**
 * The owner of a cgroup, with names for people.
 *
 * Invariants: a known container costs no system call; an unknown one is looked up five times in all, with growing gaps; a
 * name once found is kept after container and files are gone (the one used least recently is forgotten first); a user's
 * files name only that user's containers. Files are treated as hostile: bounded, never opened if they are pipes or
 * devices, and nothing in them throws or becomes a name unless it looks like one.
 */
export class OwnerNames {
  readonly #rootfs: string;
  readonly #now: () => number;
  readonly #byCgroup: LeastRecentMap<string, Lookup>;
  readonly #found: LeastRecentMap<string, Names>;
  /** Listings and indexes, which may name thousands of other containers: dropped at the first question after a second. */
  readonly #cached = new Map<string, { value: unknown; readAtMs: number }>();

  constructor(options: OwnerNamesOptions) {
    this.#rootfs = options.rootfs;
    this.#now = options.now;
    const { maxEntries = usualEntries } = options;
    this.#byCgroup = new LeastRecentMap(maxEntries);
    this.#found = new LeastRecentMap(maxEntries);
  }

  /**
   * Owner of a cgroup by its path (like `ownerOfCgroup`), with the names found so far. The result is frozen, and the same
   * object until more names are found.
   */
  ownerOf(cgroupPath: string): Owner {
    if (this.#cached.size > 0) this.#dropOld(this.#now());
    const known = this.#byCgroup.get(cgroupPath);
    if (known && (known.complete || this.#now() < known.retryAtMs)) return known.owner;

    const lookup = known ?? this.#begin(cgroupPath);
    if (!lookup.complete) this.#advance(lookup, cgroupPath);
    return lookup.owner;
  }

  #begin(cgroupPath: string): Lookup {
    const owner = Object.freeze(ownerOfCgroup(cgroupPath));
    const lookup = { owner, complete: !hasMoreToTell(owner), attempts: 0, retryAtMs: 0 };
    this.#byCgroup.set(cgroupPath, lookup);
    return lookup;
  }

  #advance(lookup: Lookup, cgroupPath: string): void {
    const { containerId, podUid } = lookup.owner;
    // Any user can create a cgroup with another container's id in it, in the user's own slice.
    const user = userOf(cgroupPath) ?? "";
    const key = `${user}/${containerId ?? podUid}`;
    let names = this.#found.get(key);
    if (!names) {
      names = this.#find(lookup.owner, cgroupPath);
      if (isComplete(lookup.owner, names)) this.#found.set(key, names);
    }
    lookup.owner = Object.freeze(named(lookup.owner, names));
    const { pod, namespace } = lookup.owner;
    // What a container's runtime says about the pod also applies to the pod's own cgroup.
    if (podUid && pod && namespace) this.#found.set(`${user}/${podUid}`, { pod, namespace });
    const gapMs = retryGapsMs[lookup.attempts++];
    lookup.complete = gapMs === undefined || isComplete(lookup.owner, names);
    lookup.retryAtMs = this.#now() + (gapMs ?? 0);
  }

  /** Tries one kind of file after the other until all names are known; the first answer wins. */
  #find(owner: Owner, cgroupPath: string): Names {
    const names: Names = {};
    for (const found of this.#answers(owner, cgroupPath)) {
      Object.assign(names, { ...found, ...names });
      if (isComplete(owner, names)) break;
    }
    return names;
  }

  /** Lazy, so that the last sources are read only if the others did not know. */
  *#answers(owner: Owner, cgroupPath: string): Generator<Names | undefined> {
    const { containerId: id, podUid, runtime } = owner;
    if (id) yield this.#containerLogs().get(id);
    if (podUid) yield this.#podLogs().get(podUid);
    if (!id || !/^[0-9a-f]{64}$/.test(id)) return;

    const { docker, containerd, crio, storage } = this.#directories(userOf(cgroupPath));
    const mayBe = (name: string) => runtime === null || runtime === name || runtime === "kata";
    if (mayBe("docker")) {
      for (const directory of docker) {
        yield dockerNames(this.#json(join(directory, id, "config.v2.json")));
      }
    }
    if (mayBe("containerd")) {
      for (const directory of containerd) {
        yield containerdNames(this.#json(join(directory, id, "config.json")));
      }
    }
    if (mayBe("cri-o")) {
      for (const directory of crio) {
        yield crioNames(this.#json(join(directory, id, "userdata/config.json")));
      }
    }
    if (mayBe("podman") || mayBe("cri-o")) {
      for (const directory of storage) {
        yield this.#storageIndex(join(directory, "containers.json")).get(id);
        // Containers that are not to survive a reboot.
        yield this.#storageIndex(join(directory, "volatile-containers.json")).get(id);
      }
    }
  }

  /**
   * The runtime directories that exist on this host, usually one. For a cgroup in a user's slice that user's home counts
   * too; Podman keeps rootless containers nowhere else.
   */
  #directories(uid: string | undefined) {
    return this.#once(`runtimes of ${uid}`, () => {
      const homes = uid === undefined ? [] : this.#homesOf(uid);
      const inHomes = (path: string) => homes.map((home) => join(home, path));
      const there = (paths: string[]) => paths.filter((path) => this.#isThere(path));
      const storage = "overlay-containers";
      return {
        docker: there(
          [...this.#dockerRoots(), ...inHomes(".local/share/docker")].map((root) =>
            join(root, "containers"),
          ),
        ),
        containerd: there(
          containerdStates.flatMap((state) =>
            ["k8s.io", "default"].map((namespace) =>
              join(state, "io.containerd.runtime.v2.task", namespace),
            ),
          ),
        ),
        crio: there([join("/run/containers/storage", storage)]),
        storage: there(
          homes.length > 0
            ? inHomes(join(".local/share/containers/storage", storage))
            : [join("/var/lib/containers/storage", storage)],
        ),
      };
    });
  }

  #containerLogs(): Map<string, Names> {
    return this.#once("/var/log/containers", (path) => {
      const byId = new Map<string, Names>();
      for (const entry of this.#list(path)) {
        const found = containerLogNames(entry);
        if (found) byId.set(found.containerId, found.names);
      }
      return byId;
    });
  }

  #podLogs(): Map<string, Names> {
    return this.#once("/var/log/pods", (path) => {
      const byUid = new Map<string, Names>();
      for (const entry of this.#list(path)) {
        const found = podLogNames(entry);
        if (found) byUid.set(found.podUid, found.names);
      }
      return byUid;
    });
  }

  #storageIndex(path: string): Map<string, Names> {
    return this.#once(path, () => storageNames(this.#json(path, maxIndexBytes)));
  }

  #dockerRoots(): string[] {
    const configured = dockerDataRoot(this.#json("/etc/docker/daemon.json"));
    return [
      ...(configured === undefined ? [] : [configured]),
      "/var/lib/docker",
      "/var/snap/docker/common/var-lib-docker",
    ];
  }

  /**
   * Homes of a user; no other user's may name a rootless container. Users missing in /etc/passwd (LDAP) are found by the
   * owner of the directory.
   */
  #homesOf(uid: string): string[] {
    const home = homeInPasswd(this.#text("/etc/passwd", maxDescriptionBytes) ?? "", uid);
    if (home !== undefined) return [home];
    return this.#list("/home")
      .map((name) => join("/home", name))
      .filter((path) => this.#userIdOf(path) === Number(uid));
  }

  #userIdOf(path: string): number | undefined {
    try {
      return statSync(join(this.#rootfs, path)).uid;
    } catch {
      return undefined;
    }
  }

  /** Not by access(2), which ignores capabilities. */
  #isThere(path: string): boolean {
    try {
      return statSync(join(this.#rootfs, path), { throwIfNoEntry: false }) !== undefined;
    } catch {
      return false;
    }
  }

  #once<T>(what: string, read: (what: string) => T): T {
    const nowMs = this.#now();
    this.#dropOld(nowMs);
    const cached = this.#cached.get(what);
    if (cached !== undefined) return cached.value as T;
    const value = read(what);
    this.#cached.set(what, { value, readAtMs: nowMs });
    return value;
  }

  #dropOld(nowMs: number): void {
    for (const [what, { readAtMs }] of this.#cached) {
      if (nowMs - readAtMs >= listingAgeMs) this.#cached.delete(what);
    }
  }

  #list(path: string): string[] {
    const names: string[] = [];
    try {
      const directory = opendirSync(join(this.#rootfs, path));
      try {
        for (let entry = directory.readSync(); entry; entry = directory.readSync()) {
          if (names.push(entry.name) === maxListing) break;
        }
      } finally {
        directory.closeSync();
      }
    } catch {
      // Another kind of host, or not readable: the names stay unknown.
    }
    return names;
  }

  #json(path: string, maxBytes = maxDescriptionBytes): unknown {
    try {
      return JSON.parse(this.#text(path, maxBytes) ?? "null");
    } catch {
      // Incomplete while it is being written; the next attempt may find it complete.
      return undefined;
    }
  }

  #text(path: string, maxBytes: number): string | undefined {
    const file = join(this.#rootfs, path);
    // Most lookups are for missing files; a thrown ENOENT costs ten times as much as this.
    if (!this.#isThere(path)) return undefined;
    let descriptor: number | undefined;
    try {
      // A user may have put a link or a pipe where the file should be; opening a pipe would block.
      const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
      descriptor = openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
      const status = fstatSync(descriptor);
      if (!status.isFile() || status.size > maxBytes) return undefined;
      const bytes = Buffer.allocUnsafe(status.size);
      let length = 0;
      while (length < bytes.length) {
        const count = readSync(descriptor, bytes, length, bytes.length - length, length);
        if (count === 0) break;
        length += count;
      }
      return bytes.toString("utf8", 0, length);
    } catch {
      return undefined;
    } finally {
      if (descriptor !== undefined) closeSync(descriptor);
    }
  }
}

const containerdStates = [
  "/run/containerd",
  "/run/k3s/containerd",
  "/var/snap/microk8s/common/run/containerd",
];

function userOf(cgroupPath: string): string | undefined {
  return /\/user-([0-9]{1,10})\.slice\//.exec(cgroupPath)?.[1];
}

/** Garden, Fargate, LXC and machines have no file with more information than the path. */
function hasMoreToTell(owner: Owner): boolean {
  return owner.podUid !== null || (owner.containerId !== null && owner.container === null);
}

/** A pod's sandbox has no name of its own, so the pod's name is complete. */
function isComplete(owner: Owner, names: Names): boolean {
  const inPod = owner.podUid !== null || "podUid" in names;
  if (inPod && !(names.pod && names.namespace)) return false;
  return owner.containerId === null || "container" in names;
}

function named(owner: Owner, names: Names): Owner {
  return {
    ...owner,
    platform: names.pod ? "kubernetes" : (names.platform ?? owner.platform),
    task: names.task ?? owner.task,
    container: names.container ?? owner.container,
    pod: names.pod ?? owner.pod,
    namespace: names.namespace ?? owner.namespace,
    podUid: owner.podUid ?? names.podUid ?? null,
    runtime: owner.runtime ?? names.runtime ?? null,
  };
}
