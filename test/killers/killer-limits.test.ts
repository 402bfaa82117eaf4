import { describe, expect, it } from "vitest";
import {
  type Amount,
  bytesOf,
  type Candidate,
  earlyoomLimits,
  firstOf,
  kubeletLimits,
  nohangLimits,
  oomdLimits,
} from "../../src/killers/killer-limits.ts";

const process = (pid: number, comm: string, score: number, more: Partial<Candidate> = {}) => ({
  pid,
  comm,
  score,
  scoreAdj: 0,
  residentBytes: score,
  ...more,
});

describe("earlyoom", () => {
  it("acts at 10 % of memory and swap unless its arguments say otherwise", () => {
    expect(earlyoomLimits(["-r", "3600"])).toMatchObject({
      memoryAvailable: { percent: 10 },
      swapFree: { percent: 10 },
    });
    expect(earlyoomLimits(["-m", "5,2", "-s100", "-r", "60"])).toMatchObject({
      memoryAvailable: { percent: 5 },
      swapFree: { percent: 100 },
    });
    expect(earlyoomLimits(["-M", "409600,307200"])).toMatchObject({
      memoryAvailable: { bytes: 400 * 2 ** 20 },
    });
  });

  it("takes the highest score, changed by --prefer, --avoid and --ignore", () => {
    const processes = [
      process(1, "systemd", 900),
      process(5, "postgres", 700),
      process(6, "firefox", 600),
      process(7, "sshd", 650),
    ];
    const first = (...words: string[]) => firstOf(processes, earlyoomLimits(words))?.comm;
    expect(first()).toBe("postgres");
    expect(first("--prefer", "^(firefox)$")).toBe("firefox");
    expect(first("--avoid=^(postgres|sshd)$")).toBe("firefox");
    expect(first("--ignore", "^postgres$")).toBe("sshd");
  });

  it("goes by size between equals", () => {
    const processes = [
      process(6, "small", 700, { residentBytes: 1 }),
      process(7, "large", 700, { residentBytes: 2 }),
    ];
    expect(firstOf(processes, earlyoomLimits([]))?.comm).toBe("large");
  });

  it("acts at the lower of -m and -M", () => {
    const { memoryAvailable, swapFree } = earlyoomLimits(
      "-m 10 -M 1048576 -S 1024 -s 50".split(" "),
    );
    expect(memoryAvailable).toEqual({ percent: 10, bytes: 2 ** 30 });
    expect(bytesOf(memoryAvailable as Amount, 64 * 2 ** 30)).toBe(2 ** 30);
    expect(bytesOf(memoryAvailable as Amount, 5 * 2 ** 30)).toBe(2 ** 29);
    expect(bytesOf(swapFree as Amount, 2 ** 30)).toBe(2 ** 20);
  });

  it.each([
    ["a pattern of another language", ["--avoid", "(?P<name>x)"]],
    ["a POSIX class", ["--avoid", "^[[:alpha:]]+d$"]],
    ["a GNU word boundary", ["--ignore", "\\<sshd\\>"]],
    ["the size of a process", ["--sort-by-rss"]],
    ["its user", ["--ignore-root-user"]],
    ["oom_score_adj, which only old versions leave out", ["-i"]],
  ])("has no known rule where that goes by %s", (_by, words) => {
    const limits = earlyoomLimits(words);
    expect(limits.ranking).toBeUndefined();
    expect(firstOf([process(5, "x", 1)], limits)).toBeUndefined();
  });
});

describe("nohang", () => {
  const config = [
    "## soft_threshold_min_mem = 50 %",
    "soft_threshold_min_mem = 8 %",
    "soft_threshold_min_swap = 200 M",
    "psi_checking_enabled = True",
    "psi_excess_duration = 30",
    "soft_threshold_max_psi  = 40",
    "@BADNESS_ADJ_RE_NAME -500 /// ^postgres$",
    "# @BADNESS_ADJ_RE_NAME 999 /// ^sshd$",
  ].join("\n");

  it("acts at the soft limits of its configuration", () => {
    expect(nohangLimits(config)).toMatchObject({
      memoryAvailable: { percent: 8 },
      swapFree: { bytes: 200 * 2 ** 20 },
      pressure: { percent: 40, duration: "30s" },
    });
    expect(nohangLimits("").pressure).toBeUndefined();
  });

  it("leaves out positive oom_score_adj if it is configured to", () => {
    const processes = [
      process(5, "tab", 900, { scoreAdj: 300 }),
      process(6, "editor", 700, { scoreAdj: -10 }),
    ];
    expect(firstOf(processes, nohangLimits(""))?.comm).toBe("tab");
    const limits = nohangLimits("ignore_positive_oom_score_adj = True");
    expect(firstOf(processes, limits)?.comm).toBe("editor");
  });

  it("ranks by its rules on names, and not where it has rules on anything else", () => {
    const processes = [process(5, "postgres", 700), process(6, "sshd", 300)];
    expect(firstOf(processes, nohangLimits(config))?.comm).toBe("sshd");
    expect(
      nohangLimits(`${config}\n@BADNESS_ADJ_RE_REALPATH 20 /// ^/usr`).ranking,
    ).toBeUndefined();
  });
});

describe("systemd-oomd", () => {
  it("acts by its defaults, the last file that sets a value counts", () => {
    for (const [text, percent] of [
      ["850‰", 15],
      ["8550‱", 14.5],
      ["80.5%", 19.5],
      ["80", 10],
      ["120%", 10],
    ] as const) {
      const { memoryAvailable } = oomdLimits([`[OOM]\nSwapUsedLimit=${text}`]);
      expect(memoryAvailable?.percent).toBeCloseTo(percent, 5);
    }
    expect(oomdLimits(["[OOM]\n#SwapUsedLimit=80%"])).toMatchObject({
      memoryAvailable: { percent: 10 },
      swapFree: { percent: 10 },
      pressure: { percent: 60, duration: "30s" },
    });
    expect(
      oomdLimits([
        "[OOM]\nSwapUsedLimit=95%",
        "[OOM]\nDefaultMemoryPressureDurationSec=20s\nSwapUsedLimit=80%",
      ]),
    ).toMatchObject({ swapFree: { percent: 20 }, pressure: { duration: "20s" } });
  });
});

describe("the kubelet", () => {
  it.each([
    ["", { bytes: 100 * 2 ** 20 }],
    ["evictionHard:\n  memory.available: 1Gi\n  nodefs.available: 10%\n", { bytes: 2 ** 30 }],
    [
      'evictionHard:\n  memory.available: "5%"\nevictionSoft:\n  memory.available: 20%\n',
      { percent: 5 },
    ],
    ["evictionHard: { memory.available: 2Gi, nodefs.available: 10% }\n", { bytes: 2 ** 31 }],
    ["evictionHard:\n  nodefs.available: 10%\nevictionSoft:\n  memory.available: 1Gi\n", undefined],
    [
      "evictionHard:\n  nodefs.available: 10%\nmergeDefaultEvictionSettings: true\n",
      { bytes: 100 * 2 ** 20 },
    ],
  ])("evicts at evictionHard: %j", (config, memoryAvailable) => {
    expect(kubeletLimits(config).memoryAvailable).toEqual(memoryAvailable);
  });
});
