import { run } from "../kit/run.ts";

/** Some JSON and arithmetic; prints the processor time it took in ms. */
const work = `
  let sum = 0;
  for (let round = 0; round < 60; round++) {
    const text = JSON.stringify(Array.from({ length: 500 }, (_, index) => ({ index, name: "n" + index })));
    sum += JSON.parse(text).length;
  }
  const { user, system } = process.cpuUsage();
  console.log((user + system) / 1000, sum);
`;

/** A line for a guest's script that prints `work MS`. */
export const guestWork = `echo work $(node --single-threaded -e '${work.replaceAll("\n", " ")}')`;

/** How many times slower the guest's processor is, by the same work's processor time here and there. */
export async function processorFactor(guestWorkMs: number): Promise<number> {
  const here = await run(process.execPath, ["--single-threaded", "-e", work]);
  return guestWorkMs / Number.parseFloat(here);
}
