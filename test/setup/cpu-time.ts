/**
 * Milliseconds of CPU that this process has taken so far: what work costs, however busy the machine
 * is with something else.
 */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
