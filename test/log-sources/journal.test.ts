import { spawn } from "node:child_process";
import { expect, onTestFinished, test, vi } from "vitest";
import { Journal } from "../../src/log-sources/journal.ts";
import { HostFiles } from "../../src/sources/host-files.ts";
import { StandInJournal } from "../setup/stand-in-journalctl.ts";
import { TemporaryTree } from "../setup/temporary-tree.ts";
import { waitUntil } from "../setup/wait-until.ts";

vi.mock("node:child_process", { spy: true });

test("without memory for another process the journal is read later", async () => {
  const tree = new TemporaryTree();
  tree.write("", { "var/log/journal/machine/system.journal": "" });
  const { program } = new StandInJournal(tree.path("journalctl"));
  const rootfs = tree.path("");
  const error = Object.assign(new Error("spawn ENOMEM"), { code: "ENOMEM", errno: -12 });
  vi.mocked(spawn).mockImplementationOnce(() => {
    throw error;
  });
  const seen: string[] = [];
  const journal = new Journal({
    files: new HostFiles({ procfs: "/proc", sysfs: "/sys", rootfs }),
    rootfs,
    matches: [["SYSLOG_IDENTIFIER=earlyoom"]],
    program,
    backOffMs: { first: 1, most: 1 },
    listener: {
      entry: () => {},
      caughtUp: () => seen.push("caught up"),
      stateChanged: ({ up, reason }) => seen.push(up ? "up" : `down: ${reason}`),
      cursorRejected: (reason) => seen.push(reason),
    },
  });
  onTestFinished(() => journal.stop());
  journal.start();
  expect(seen).toEqual([`down: ${program}: spawn ENOMEM`]);
  await waitUntil(() => expect(seen.slice(1)).toEqual(["up", "caught up"]));
});
