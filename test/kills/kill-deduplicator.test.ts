import { describe, expect, it } from "vitest";
import {
  identityLimit,
  KillDeduplicator,
  type KillSighting,
} from "../../src/kills/kill-deduplicator.ts";
import { bootB, sighting } from "./sample-kill.ts";

/** How a second line is classified after a first. */
function second(first: Partial<KillSighting>, then: Partial<KillSighting>): string {
  const known = new KillDeduplicator();
  known.add(known.identify(sighting(first)));
  return known.classify(sighting(then)).as;
}

describe("a copy", () => {
  it("has the same boot, pid and printk time, whatever its text", () => {
    expect(second({ comm: "a\nb", text: "a" }, { comm: "a", text: "b" })).toBe("copy");
  });

  it.each([
    ["boot", { boot: bootB }],
    ["pid", { pid: 43 }],
    ["printk time", { printkMicros: 1_000_001 }],
  ])("has no other %s", (_, other) => {
    expect(second({}, other)).toBe("new");
  });

  const bare = { printkMicros: undefined, text: "Killed process 42 (hog) total-vm:8kB" };
  it.each([
    ["first", bare, { text: bare.text }],
    ["second", { text: bare.text }, bare],
  ])("has equal text if the %s has no printk time", (_, first, then) => {
    expect(second(first, then)).toBe("copy");
  });

  it("has equal text if a printk time is missing", () => {
    expect(second({}, { ...bare, text: "Killed process 42 (hog) total-vm:9kB" })).toBe("new");
  });
});

describe("with an unknown boot", () => {
  it("needs equal text besides the printk time", () => {
    expect(second({}, { boot: undefined })).toBe("copy");
    expect(second({}, { boot: undefined, text: "of another boot" })).toBe("new");
  });

  it("needs agreeing clocks besides the text", () => {
    const bare = { boot: undefined, printkMicros: undefined, text: "the same" };
    const at = (timeMs: number) => ({ ...bare, timeMs, reread: true });
    expect(second(at(0), at(60_000))).toBe("copy");
    expect(second(at(0), at(60_001))).toBe("new");
  });

  it("trusts the scanner's mark for a repeat", () => {
    const later = { boot: undefined, printkMicros: 2_000_000 };
    expect(second({ boot: undefined }, { ...later, inGroup: true })).toBe("new");
    expect(second({ boot: undefined }, { ...later, repeatsVictim: true })).toBe("further_line");
  });
});

describe("a group event's second naming of its victim", () => {
  const later = { printkMicros: 1_500_000 };

  it("is recognised by the scanner", () => {
    expect(second({}, { ...later, repeatsVictim: true })).toBe("further_line");
  });

  it("is recognised by the first line if there was a restart in between", () => {
    expect(second({ inGroup: true }, later)).toBe("further_line");
  });

  it("is recognised by the next member if the restart came before the group line", () => {
    const known = new KillDeduplicator();
    known.add(known.identify(sighting()));
    known.add(known.identify(sighting({ pid: 43, inGroup: true })));
    expect(known.classify(sighting(later)).as).toBe("further_line");
  });

  it("has the same comm", () => {
    expect(second({ inGroup: true }, { ...later, inGroup: true, comm: "other" })).toBe("new");
  });

  it("comes within 60 s", () => {
    const late = { printkMicros: 1_000_000 + 60_000_001, inGroup: true };
    expect(second({ inGroup: true }, late)).toBe("new");
  });

  it("is its first line over again in a log without printk times", () => {
    const bare = { printkMicros: undefined };
    const repeated = { ...bare, repeatsVictim: true, inGroup: true };
    expect(second(bare, repeated)).toBe("further_line");
    expect(second(bare, { ...repeated, reread: true })).toBe("copy");
  });

  it("is not a line that a restarted logger wrote twice, without any line about a group event", () => {
    const bare = { printkMicros: undefined };
    expect(second(bare, bare)).toBe("copy");
    expect(second(bare, { ...bare, repeatsVictim: true })).toBe("copy");
    expect(second({ ...bare, inGroup: true }, { ...bare, inGroup: true })).toBe("copy");
  });

  it("is not any second victim of that pid and name: a storm uses up pids in seconds", () => {
    expect(second({}, later)).toBe("new");
  });
});

describe("10,000 identities later", () => {
  function full(): KillDeduplicator {
    const known = new KillDeduplicator();
    for (let kill = 0; kill <= identityLimit; kill++) {
      known.add(known.identify(sighting({ pid: kill, printkMicros: 1000 + kill })));
    }
    return known;
  }
  const oldest = { pid: 0, printkMicros: 1000 };

  it("knows a line that is read again by the printk watermark of its boot", () => {
    const known = full();
    expect(known.classify(sighting(oldest)).as).toBe("new");
    expect(known.isBelowWatermark(sighting({ ...oldest, reread: true }))).toBe(true);
  });

  it("judges no line behind a saved position by its time stamp", () => {
    expect(full().isBelowWatermark(sighting(oldest))).toBe(false);
  });

  it("keeps the watermark over a restart", () => {
    const restored = new KillDeduplicator();
    restored.restore(JSON.parse(JSON.stringify(full().save())));
    expect(restored.isBelowWatermark(sighting({ ...oldest, reread: true }))).toBe(true);
    const other = sighting({ ...oldest, boot: bootB, reread: true });
    expect(restored.isBelowWatermark(other)).toBe(false);
    expect(restored.classify(sighting({ pid: 9, printkMicros: 1009 })).as).toBe("copy");
  });
});
