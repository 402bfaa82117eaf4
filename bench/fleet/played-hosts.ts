/** Plays one exporter's answer as that of many hosts, each with its own names and its own course of memory. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { generator, hostMark } from "./host-tree.ts";

/** What moves from scrape to scrape; all else is as it was read. */
const moving = /^oom_cgroup_memory_(current|anon|working_set)_bytes\{/;

/** How a cgroup's memory goes on: a factor of what was read, after so many seconds. */
export type Course = (seconds: number) => number;

/**
 * Of a hundred cgroups one leaks, nine rise and fall as garbage is collected, the rest move by a
 * per cent or two around where they are.
 */
function courseOf(random: () => number): Course {
  const kind = random();
  const phase = random() * 3600;
  if (kind < 0.01) return (seconds) => 0.7 + (0.4 * (seconds + phase)) / 14_400;
  if (kind < 0.1) return (seconds) => 0.8 + (0.4 * ((seconds + phase) % 600)) / 600;
  return (seconds) => 1 + 0.02 * Math.sin((seconds + phase) / 97);
}

/** One host's exposition: text between the numbers that move. */
interface Host {
  texts: readonly string[];
  numbers: readonly { value: number; course: Course }[];
}

/** Puts a host's own names where the template has the mark. */
export function namesOfHost(host: number): (text: string) => string {
  const name = (Math.imul(host + 1, 2654435761) >>> 0).toString(16).padStart(8, "0");
  return (text) => text.replaceAll(hostMark, name);
}

/** How each cgroup of a host goes on, by its labels as the template has them. */
export function courseOfCgroups(template: string, host: number): Map<string, Course> {
  const random = generator(host + 1);
  const courses = new Map<string, Course>();
  for (const [, labels = ""] of template.matchAll(/^oom_cgroup_memory_current_bytes(\{.*\}) /gm)) {
    courses.set(labels, courseOf(random));
  }
  return courses;
}

function hostOf(template: string, index: number): Host {
  const rename = namesOfHost(index);
  const courses = courseOfCgroups(template, index);
  const texts: string[] = [];
  const numbers: { value: number; course: Course }[] = [];
  let text = "";
  for (const line of template.split("\n")) {
    if (!moving.test(line)) {
      text += `${rename(line)}\n`;
      continue;
    }
    const end = line.lastIndexOf(" ");
    const course = courses.get(line.slice(line.indexOf("{"), end));
    if (course === undefined) throw new Error(`no current memory beside ${line}`);
    texts.push(text + rename(line.slice(0, end + 1)));
    numbers.push({ value: Number(line.slice(end + 1)), course });
    text = "\n";
  }
  return { texts: [...texts, text], numbers };
}

export interface PlayedHosts {
  readonly port: number;
  close(): void;
}

/** Serves `/N/metrics` for each host N. */
export async function playHosts(template: string, count: number): Promise<PlayedHosts> {
  // An exposition ends with one line end.
  const hosts = Array.from({ length: count }, (_, index) => hostOf(template.trimEnd(), index));
  const startMs = performance.now();
  const server: Server = createServer((request, response) => {
    const host = hosts[Number(request.url?.split("/")[1])];
    if (host === undefined) {
      response.writeHead(404).end();
      return;
    }
    const seconds = (performance.now() - startMs) / 1000;
    const { texts, numbers } = host;
    const values = numbers.map(({ value, course }) => Math.round(value * course(seconds)));
    response.writeHead(200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" });
    response.end(texts.map((text, at) => text + (values[at] ?? "")).join(""));
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}
