import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { programOf } from "../../src/kernel/command-line.ts";
import { heldBytes, mebibyte } from "../setup/held-memory.ts";

/** What is taken of arguments that are given with blanks between them. */
function programIn(line: string, more: { comm?: string; executable?: string } = {}) {
  return ofArguments(line.split(" "), more);
}

function ofArguments(args: string[], more: { comm?: string; executable?: string } = {}) {
  const bytes = Buffer.from(args.map((argument) => `${argument}\0`).join(""));
  return programOf({ bytes, isWhole: true, comm: "x", ...more });
}

describe("/proc/PID/cmdline of an interpreter", () => {
  it.each([
    ["java -jar billing.jar", "billing.jar"],
    [
      "/usr/bin/java -Xmx2g -Ddb.password=x -cp /a:/b -jar /srv/billing.jar --token=y",
      "billing.jar",
    ],
    [
      "java -XX:+UseG1GC --add-opens java.base/java.lang=ALL-UNNAMED kafka.Kafka a.properties",
      "kafka.Kafka",
    ],
    [
      "java -javaagent:/a.jar=key=x -classpath /x/* org.elasticsearch.bootstrap.Elasticsearch",
      "org.elasticsearch.bootstrap.Elasticsearch",
    ],
    ["java --module-path /m -m org.app/org.app.Main", "org.app.Main"],
    ["python3 -m gunicorn -b :80 app:app", "gunicorn"],
    ["/usr/bin/python3.11 -um celery.bin.worker", "celery.bin.worker"],
    ["python3 -u -W ignore -Xutf8 /srv/app/manage.py runserver", "manage.py"],
    ["/srv/venv/bin/python /srv/venv/bin/gunicorn app:app", "gunicorn"],
    ["node server.js", "server.js"],
    [
      "/usr/bin/node --max-old-space-size=4096 --enable-source-maps /srv/dist/main.js --key=x",
      "main.js",
    ],
    ["node --require dd-trace/init server.js", "server.js"],
    ["ruby -W0 /srv/bin/puma -C config", "puma"],
    ["perl -w -I/usr/share /usr/sbin/spamd", "spamd"],
    ["bash script.sh secret", "script.sh"],
    ["/bin/sh -x -o pipefail /usr/bin/mysqld_safe", "mysqld_safe"],
    ["sh -- script.sh", "script.sh"],
    ["php -d memory_limit=1G artisan queue:work", "artisan"],
    ["php8.2 -f /srv/worker.php", "worker.php"],
    ["dotnet /app/X.dll --conn=secret", "X.dll"],
    ["dotnet exec --depsfile /a.json /app/X.dll", "X.dll"],
    [
      "/usr/lib/erlang/bin/beam.smp -W w -- -root /usr/lib/erlang -progname erl -- -home /var -- -sname rabbit@db1 -setcookie secret",
      "rabbit",
    ],
    ["beam.smp -- -name app@10.0.0.1 -setcookie secret", "app"],
  ])("%s: %s", (line, program) => {
    expect(programIn(line)).toBe(program);
  });

  it.each([
    "bash -c secret",
    "bash -lc secret",
    "sh -e script.sh",
    "sh -s secret",
    "python3 -c secret",
    "python3 -uc secret",
    "python3 - secret",
    "node -e secret",
    "node -r secret server.js",
    "node --eval secret",
    "node --no-such=1 -- --token secret",
    "ruby -e secret",
    "ruby -r secret app.rb",
    "perl -e secret",
    "perl -ne secret file",
    "php -r secret",
    "php -S localhost:80",
    "java @secret",
    "java -cp /a @secret",
    "java --no-such secret Main",
    "java -jar",
    "java -cp",
    "dotnet run secret",
    "dotnet --no-such secret X.dll",
    "beam.smp -- -home /var -- -extra -sname secret",
    "beam.smp -- -eval secret -sname a@b",
    "java",
    "-bash",
    "mysqld --defaults-file=/secret",
    "./bash_like secret",
  ])("%s: nothing", (line) => {
    expect(programIn(line)).toBeUndefined();
  });

  it.each([
    ["a blank", "my app.jar"],
    ["a line end", "a\nb.jar"],
    ["an equals sign", "key=secret"],
    ["a quote", 'a".jar'],
    ["other letters", "größe.jar"],
    ["65 bytes", "a".repeat(65)],
    ["dots alone", "/srv/.."],
    ["a dash at its start", "/srv/-rf"],
    ["nothing behind the last slash", "/srv/"],
  ])("accepts no name with %s", (_, name) => {
    expect(ofArguments(["java", "-jar", name])).toBeUndefined();
  });

  it("ignores a last argument that may be truncated", () => {
    const bytes = Buffer.from("java\0-jar\0billing.j");
    expect(programOf({ bytes, isWhole: false, comm: "java" })).toBeUndefined();
    const more = Buffer.from("java\0-jar\0billing.jar\0--tok");
    expect(programOf({ bytes: more, isWhole: false, comm: "java" })).toBe("billing.jar");
  });
});

describe("a title that a process wrote over its command line", () => {
  const titled = (title: string) =>
    programOf({ bytes: Buffer.from(title), isWhole: true, comm: "x" });

  it("names the pool of php-fpm", () => {
    expect(titled("php-fpm: pool www\0\0\0\0")).toBe("www");
    expect(titled("php-fpm8.2: pool shop-1          ")).toBe("shop-1");
  });

  it.each([
    "php-fpm: master process (/etc/php-fpm.conf)",
    "php-fpm: pool a b",
    "php-fpm: pool key=secret",
    "postgres: shop secret 10.0.0.7(5432) SELECT",
    "puma 5.6.4 (tcp://0.0.0.0:3000) [secret]",
    "nginx: worker process",
    "node /srv/secret",
    "",
    "\0\0\0",
  ])("%s: nothing", (title) => {
    expect(titled(title)).toBeUndefined();
  });
});

describe("an executable whose name does not fit into comm", () => {
  it("is named whole", () => {
    const executable = "/usr/libexec/gnome-shell-calendar-server";
    const seen = { comm: "gnome-shell-cal", executable };
    expect(programIn(`${executable} --secret`, seen)).toBe("gnome-shell-calendar-server");
    const deleted = { ...seen, executable: `${executable} (deleted)` };
    expect(programIn(executable, deleted)).toBe("gnome-shell-calendar-server");
  });

  it("is not named if comm is another name, or not cut", () => {
    const executable = "/usr/bin/gnome-shell-calendar-server";
    expect(programIn(executable, { comm: "worker-number-1", executable })).toBeUndefined();
    expect(programIn("/usr/bin/mysqld", { comm: "mysqld", executable: "/usr/bin/mysqld" })).toBe(
      undefined,
    );
    expect(
      programIn("exactly-15-byte", { comm: "exactly-15-byte", executable: "/x/exactly-15-byte" }),
    ).toBe(undefined);
  });
});

describe("arbitrary arguments", () => {
  it("returns one plain name or nothing, and never throws", () => {
    const argument = fc.oneof(
      fc.constantFrom("java", "python3", "node", "-m", "-jar", "--", "-D", "beam.smp", "-sname"),
      fc.string({ unit: "binary" }),
    );
    fc.assert(
      fc.property(fc.array(argument), fc.boolean(), (args, isWhole) => {
        const bytes = Buffer.from(args.join("\0"));
        const program = programOf({ bytes, isWhole, comm: "java", executable: args[0] });
        expect(program ?? "x").toMatch(/^[A-Za-z0-9._$-]{1,64}$/);
      }),
    );
  });
});

it("keeps a name without the command line that it was taken from", () => {
  const names = () =>
    Array.from({ length: 500 }, (_, n) =>
      programIn(`python3 /srv/worker-${10_000_000 + n}.py ${"x".repeat(30_000)}`),
    );
  expect(heldBytes(names)).toBeLessThan(mebibyte);
});
