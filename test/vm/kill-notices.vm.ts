import { expect, it } from "vitest";
import { runInGuest } from "./scenario.ts";

it("a kill is announced, at any depth, in cgroups made later, and while a cgroup is at its limit", async () => {
  const guest = await runInGuest(
    `
    node /share/notice-printer.mjs >/results/notices.txt 2>&1 &
    mkcg system.slice/job.service 8M
    until grep -q watching /results/notices.txt; do sleep 0.2; done

    # kill NAME DIRECTORY: the kernel's stamp of a kill there, and how many notices came of it
    kill_in() {
      local before=$(grep -c notice /results/notices.txt) tries=0
      run --cgroup "$2" -- hog --comm "$1"
      until [ "$(grep -c notice /results/notices.txt)" -gt "$before" ] || [ $tries -gt 50 ]; do
        tries=$((tries + 1)); sleep 0.1
      done
      echo "$1 $(($(grep -c notice /results/notices.txt) - before)) $(stamps_of_kills | tail -1) $(tail -1 /results/notices.txt)"
    }
    kill_in known "$dir"
    mkcg system.slice/later.service/one/two/three 8M
    kill_in deep "$dir"
    mkcg later.slice/job.service 8M
    kill_in new "$dir"
    rmdir $CG/later.slice/job.service $CG/later.slice
    mkcg later.slice/job.service 8M
    kill_in again "$dir"

    mkcg full.slice/job.service 32M
    busybox dd if=/dev/zero of=/var/tmp/cache bs=1M count=200 2>/dev/null
    (echo $BASHPID >"$dir/cgroup.procs"; while :; do busybox cat /var/tmp/cache >/dev/null; done) &
    churn=$!
    sleep 3
    mkcg full.slice/other.service 8M
    kill_in churning "$dir"
    kill $churn
    echo "churned $(awk '$1 == "max" { print $2 }' $CG/full.slice/memory.events)"
  `,
  );
  for (const name of ["known", "deep", "new", "again", "churning"]) {
    const [count, stamp, , noticed] = guest.said(name).split(" ");
    console.log(
      `${name}: noticed ${Math.round((Number(noticed) - Number(stamp)) * 1000)} ms after the kernel's stamp`,
    );
    expect(Number(count), name).toBeGreaterThanOrEqual(1);
  }
  expect(guest.number("churned")).toBeGreaterThan(0);
});
