import { isIP } from "node:net";
import { isEveryInterface } from "./listeners.ts";

/** What decides under which names pages and API may be asked for. */
export interface HostNameOptions {
  /** Of this machine. */
  hostName: string;
  externalUrl?: string;
  /** Hosts that are listened on; `undefined` stands for every interface. */
  listenHosts: readonly (string | undefined)[];
}

/**
 * The names under which a browser may ask for pages and API, beside IP addresses and localhost. A
 * foreign site can let its own name point to this machine (DNS rebinding) and would then read here
 * what its visitor may read; the browser still sends that site's name.
 *
 * `undefined` where every name is taken: without `--web.external-url` an exporter on every interface
 * cannot know the names that users have for it.
 */
export function acceptedHostNames(options: HostNameOptions): readonly string[] | undefined {
  const { hostName, externalUrl, listenHosts } = options;
  const isSpecific = !listenHosts.some(isEveryInterface);
  if (externalUrl === undefined && !isSpecific) return undefined;
  return [
    hostName,
    hostName.split(".", 1)[0] as string,
    ...listenHosts.filter((host) => host !== undefined),
    ...(externalUrl === undefined ? [] : [new URL(externalUrl).hostname]),
  ].map(normal);
}

/** Whether a Host header (`name:port`, `[ipv6]:port`) names this exporter. Without one, no browser asks. */
export function isAcceptedHost(header: string | undefined, names: readonly string[]): boolean {
  if (header === undefined || header === "") return true;
  const [, ipv6, name] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(header) ?? [];
  if (ipv6 !== undefined) return isIP(ipv6) === 6;
  if (name === undefined) return false;
  const host = normal(name);
  return isIP(host) === 4 || host === "localhost" || names.includes(host);
}

function normal(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}
