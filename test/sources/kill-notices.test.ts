import { existsSync, renameSync } from "node:fs";
import { describe, expect, it, onTestFinished } from "vitest";
import { HostFiles } from "../../src/sources/host-files.ts";
import { KillNotices } from "../../src/sources/kill-notices.ts";
import { TemporaryTree } from "../setup/temporary-tree.ts";

const root = "sys/fs/cgroup";

/** Watches that are fired by hand; `refuse` is what the system says to a new one. */
class Watches {
  readonly open = new Map<string, () => void>();
  refuse: string | undefined;
  /** Called right before a watch is set. */
  onWatch = (_path: string) => {};

  watch = (path: string, onChange: () => void) => {
    if (this.refuse !== undefined) {
      throw Object.assign(new Error(this.refuse), { code: this.refuse, errno: -28 });
    }
    if (!existsSync(path)) throw Object.assign(new Error("ENOENT"), { code: "ENOENT", errno: -2 });
    this.onWatch(path);
    this.open.set(path, onChange);
    return { close: () => this.open.delete(path) };
  };
}

function noticesOf(host: TemporaryTree) {
  const watches = new Watches();
  const seen: string[] = [];
  const notices = new KillNotices({
    files: new HostFiles(host.roots),
    directory: host.path(root),
    onKill: () => seen.push("kill"),
    onUnavailable: (reason) => seen.push(reason),
    watch: watches.watch,
  });
  onTestFinished(() => notices.close());
  const events = (cgroup: string, kills: number, more = 0) =>
    host.write(`${root}/${cgroup}`, { "memory.events": `max ${more}\noom_kill ${kills}` });
  const change = (cgroup: string) =>
    watches.open.get(host.path(`${root}/${cgroup}/memory.events`))?.();
  const changeRoot = () => watches.open.get(host.path(root))?.();
  const watched = () =>
    [...watches.open.keys()]
      .map((path) => path.slice(host.path(root).length + 1).replace(/\/?memory\.events$/, ""))
      .sort();
  return { notices, watches, seen, events, change, changeRoot, watched };
}

describe("notice of a kill", () => {
  it("comes when the count of a top-level cgroup rises, and not of what was counted before", () => {
    const host = new TemporaryTree();
    const { notices, seen, events, change } = noticesOf(host);
    events("system.slice", 5);
    events("user.slice", 0);
    notices.start();
    expect(seen).toEqual([]);
    events("system.slice", 6);
    change("system.slice");
    expect(seen).toEqual(["kill"]);
    change("user.slice");
    expect(seen).toEqual(["kill"]);
  });

  it("comes from cgroups created later, and from one recreated under the same name", () => {
    const host = new TemporaryTree();
    const { notices, seen, events, change, changeRoot, watched } = noticesOf(host);
    events("system.slice", 0);
    notices.start();
    events("machine.slice", 0);
    changeRoot();
    expect(watched()).toEqual(["", "machine.slice", "system.slice"]);
    events("machine.slice", 3);
    change("machine.slice");
    expect(seen).toEqual(["kill"]);

    // The old one keeps its inode until the new one has its own.
    renameSync(host.path(`${root}/machine.slice`), host.path("gone"));
    events("machine.slice", 0);
    host.remove("gone");
    changeRoot();
    events("machine.slice", 1);
    change("machine.slice");
    expect(seen).toEqual(["kill", "kill"]);

    host.remove(`${root}/machine.slice`);
    changeRoot();
    expect(watched()).toEqual(["", "system.slice"]);
  });

  it("comes of a kill between the first look at a cgroup and its watch", () => {
    const host = new TemporaryTree();
    const { notices, seen, events, changeRoot, watches } = noticesOf(host);
    events("system.slice", 0);
    notices.start();
    events("job", 0);
    watches.onWatch = () => events("job", 1);
    changeRoot();
    expect(seen).toEqual(["kill"]);
  });

  it("comes from the root in a cgroup namespace, if that has the file", () => {
    const host = new TemporaryTree();
    const { notices, seen, events, change, watched } = noticesOf(host);
    events("", 0);
    events("app", 0);
    notices.start();
    expect(watched()).toEqual([""]);
    events("", 1);
    change("");
    expect(seen).toEqual(["kill"]);
  });

  it("lets a cgroup that is at its limit all the time rest until the next beat", () => {
    const host = new TemporaryTree();
    const { notices, seen, events, change, watched } = noticesOf(host);
    events("system.slice", 0);
    notices.start();
    notices.beat();
    for (let count = 1; count <= 4; count++) {
      events("system.slice", 0, count);
      change("system.slice");
    }
    expect(watched()).toEqual(["", "system.slice"]);
    change("system.slice");
    expect(watched()).toEqual([""]);
    events("system.slice", 1, 9);
    expect(seen).toEqual([]);
    notices.beat();
    expect(seen).toEqual(["kill"]);
    expect(watched()).toEqual(["", "system.slice"]);
  });

  it("comes from 64 cgroups at most", () => {
    const host = new TemporaryTree();
    const { notices, events, watched } = noticesOf(host);
    for (let n = 0; n < 70; n++) events(`job-${n}`, 0);
    notices.start();
    expect(watched()).toHaveLength(64 + 1);
  });

  it.each([
    ["ENOSPC", "no inotify watches left; raise fs.inotify.max_user_watches"],
    ["EMFILE", "no inotify instances left; raise fs.inotify.max_user_instances"],
  ])("ends, with the reason and once, if the system says %s", (code, reason) => {
    const host = new TemporaryTree();
    const { notices, watches, seen, events, changeRoot, watched } = noticesOf(host);
    events("system.slice", 0);
    notices.start();
    watches.refuse = code;
    events("machine.slice", 0);
    changeRoot();
    notices.beat();
    expect(seen).toEqual([reason]);
    expect(watched()).toEqual([]);
  });

  it("comes from a cgroup that gets its controller later, within some seconds", () => {
    const host = new TemporaryTree();
    const { notices, events, watched } = noticesOf(host);
    host.write(`${root}/late.slice`, { "cgroup.procs": "" });
    notices.start();
    events("late.slice", 0);
    for (let beat = 0; beat < 40; beat++) notices.beat();
    expect(watched()).toEqual(["", "late.slice"]);
  });

  it("comes by inotify", async () => {
    const host = new TemporaryTree();
    host.write(`${root}/system.slice`, { "memory.events": "oom_kill 0" });
    await new Promise<void>((resolve) => {
      const notices = new KillNotices({
        files: new HostFiles(host.roots),
        directory: host.path(root),
        onKill: resolve,
        onUnavailable: () => {},
      });
      onTestFinished(() => notices.close());
      notices.start();
      host.write(`${root}/system.slice`, { "memory.events": "oom_kill 1" });
    });
  });
});
