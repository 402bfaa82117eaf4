/** Runs in the guest: prints `notice SECONDS_SINCE_BOOT` for each notice of a kill. */
import { HostFiles } from "../../src/sources/host-files.ts";
import { KillNotices } from "../../src/sources/kill-notices.ts";

const notices = new KillNotices({
  files: new HostFiles({ procfs: "/proc", sysfs: "/sys", rootfs: "/" }),
  directory: "/sys/fs/cgroup",
  onKill: () => console.log(`notice ${Number(process.hrtime.bigint()) / 1e9}`),
  onUnavailable: (reason) => console.log(`unavailable ${reason}`),
});
notices.start();
console.log("watching");
setInterval(() => notices.beat(), 250);
