import { abandonFetching, debianTool } from "./debian-tools.ts";

/** The packages whose programs the tests run, in the order in which they are wanted. */
const wanted = [
  ["prometheus", "usr/bin/promtool"],
  ["prometheus-alertmanager", "usr/bin/amtool"],
  ["chromium-headless-shell", "usr/lib/chromium/chromium-headless-shell"],
  ["logrotate", "usr/sbin/logrotate"],
  ["rsyslog", "usr/sbin/rsyslogd"],
] as const;

/**
 * Vitest's global set-up: on a machine that has never run the tests, Debian's packages arrive and
 * unpack while the unit tests run. A test that needs one waits for it, and reports what fails.
 */
export default function fetchPrograms(): () => void {
  const fetchAll = async () => {
    for (const [packageName, pathInside] of wanted) {
      await debianTool(packageName, pathInside).catch(() => {});
    }
  };
  void fetchAll();
  return abandonFetching;
}
