/** Interpreters that run out of memory, and what should be said that they run. */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { program } from "../cost/programs.ts";

export interface ProgramTrial {
  name: string;
  /** For the shell; takes memory without end after `waitSeconds`. */
  command: string;
  /** `null` where nothing may be said. */
  program: string | null;
  limitMb: number;
}

/** What must not be found anywhere in the exporter's answers. */
export const secretText = "hunter2";
const secret = `--password=${secretText}`;

/** Those whose interpreter is on PATH; of the others, a process with the same arguments. */
export function programTrials(directory: string, waitSeconds: number): ProgramTrial[] {
  mkdirSync(directory, { recursive: true });
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const python = `import time\ntime.sleep(${waitSeconds})\nheld = []\nwhile True: held.append(b"x" * 1048576)\n`;
  const node = `setTimeout(() => { for (const held = []; ; ) held.push(Buffer.alloc(1048576, 1)); }, ${waitSeconds * 1000});`;
  const perl = `sleep ${waitSeconds}; push @held, "x" x 1048576 while 1;`;
  const ruby = `sleep ${waitSeconds}; held = []; loop { held << "x" * 1048576 }`;
  const php = `ini_set("memory_limit", -1); sleep(${waitSeconds}); while (true) $held[] = str_repeat("x", 1048576);`;
  const shell = `sleep ${waitSeconds}\nheld=xxxxxxxx\nwhile true; do held=$held$held; done\n`;
  const hog = program("story/hog.c");
  const stands = (name: string, args: string) => {
    const path = join(directory, name);
    copyFileSync(hog, path);
    return `env HOG="5 ${waitSeconds} 0 1000" ${path} ${args}`;
  };
  const real = (name: string, args: string) =>
    isOnPath(name) ? `${name} ${args}` : stands(name, args);
  const java = (args: string) => real("java", `-Xmx1g -XX:-UseContainerSupport ${args}`);
  const classes = isOnPath("javac") ? compileJava(directory, waitSeconds) : directory;
  // Node.js is always there, PATH may have another name for it.
  const nodeHere = process.execPath;
  return [
    ["python3 script", real("python3", `-u ${file("billing.py", python)} ${secret}`), "billing.py"],
    [
      "python3 -m module",
      `env PYTHONPATH=${directory} ${real("python3", `-m ${moduleOf(file("ledger.py", python))} ${secret}`)}`,
      "ledger",
    ],
    ["python3 -c", real("python3", `-c '${python}' ${secret}`), null],
    [
      "node script",
      `${nodeHere} --max-old-space-size=512 ${file("server.mjs", node)} ${secret}`,
      "server.mjs",
    ],
    ["node -e", `${nodeHere} -e '${node}' -- ${secret}`, null],
    ["perl script", real("perl", `-w ${file("import.pl", perl)} ${secret}`), "import.pl"],
    ["perl -e", real("perl", `-e '${perl}' -- ${secret}`), null],
    ["ruby script", real("ruby", `-W0 ${file("worker.rb", ruby)} ${secret}`), "worker.rb"],
    [
      "php script",
      real("php", `-d precision=14 ${file("cron.php", `<?php ${php}`)} ${secret}`),
      "cron.php",
    ],
    ["php-fpm title", `perl -e '$0 = "php-fpm: pool shop"; ${perl}'`, "shop"],
    ["bash script", real("bash", `--norc ${file("backup.sh", shell)} ${secret}`), "backup.sh"],
    ["bash -e", real("bash", `-e ${file("backup.sh", shell)} ${secret}`), null],
    ["java -jar", java(`-jar ${join(classes, "orders.jar")} ${secret}`), "orders.jar"],
    ["java main class", java(`-cp ${classes} Orders ${secret}`), "Orders"],
    ["java @file", java(`@${file("arguments", `-cp ${classes}\nOrders\n`)}`), null],
    ["dotnet dll", stands("dotnet", `exec /srv/Shop.dll ${secret}`), "Shop.dll"],
    [
      "beam node",
      stands("beam.smp", `-- -root /usr/lib/erlang -sname rabbit@db1 -setcookie ${secret}`),
      "rabbit",
    ],
    ["a long name", stands("reconciliation-worker", secret), "reconciliation-worker"],
    ["a short name", stands("cache", secret), null],
  ].map(([name, command, wanted]) => ({
    name: name as string,
    command: command as string,
    program: wanted as string | null,
    limitMb: 160,
  }));
}

export function isOnPath(name: string): boolean {
  try {
    execFileSync("sh", ["-c", `command -v ${name}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function moduleOf(path: string): string {
  return path.replace(/^.*\/(.*)\.py$/, "$1");
}

function compileJava(directory: string, waitSeconds: number): string {
  const source = join(directory, "Orders.java");
  writeFileSync(
    source,
    `public class Orders {
  public static void main(String[] arguments) throws Exception {
    Thread.sleep(${waitSeconds * 1000});
    java.util.List<java.nio.ByteBuffer> held = new java.util.ArrayList<>();
    for (;;) {
      byte[] piece = new byte[1 << 20];
      java.util.Arrays.fill(piece, (byte) 1);
      held.add(java.nio.ByteBuffer.wrap(piece));
    }
  }
}
`,
  );
  const options = { cwd: directory, stdio: "ignore" } as const;
  execFileSync("javac", ["-d", directory, source], options);
  execFileSync("jar", ["cfe", "orders.jar", "Orders", "Orders.class"], options);
  return directory;
}
