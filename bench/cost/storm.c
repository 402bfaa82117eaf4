/*
 * A dense storm of kills: processes in new memory cgroups of their own that live for a second or two
 * and then run into the limit.
 *
 *   cc -O2 -o storm storm.c && ./storm COUNT COMM LEAST_MS MOST_MS        (needs root)
 *
 * All are started at once, each in a cgroup made right before it; lives are spread evenly from LEAST_MS
 * to MOST_MS. Prints "killed PID CGROUP" for each that the kernel killed, then "done MILLISECONDS", from
 * the first start to the last kill. Removes the cgroups when its standard input ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char limit[] = "4194304";
static const size_t step_bytes = 256 << 10;

static char root[64] = "/sys/fs/cgroup/memory";
static char parent[64];
static const char *limit_file = "memory.limit_in_bytes";

static void fail(const char *what) {
  fprintf(stderr, "storm: %s: %s\n", what, strerror(errno));
  exit(1);
}

static int write_text(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t written = write(fd, text, strlen(text));
  close(fd);
  return written < 0 ? -1 : 0;
}

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void cgroup_path(char *path, size_t size, int i, const char *file) {
  snprintf(path, size, "%s%s/job-%d%s%s", root, parent, i, *file ? "/" : "", file);
}

static void make_parent(void) {
  char path[256];
  int unified = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
  if (unified) {
    strcpy(root, "/sys/fs/cgroup");
    limit_file = "memory.max";
  }
  snprintf(parent, sizeof parent, "/oom-exporter-bench-%d", getpid());
  snprintf(path, sizeof path, "%s%s", root, parent);
  if (mkdir(path, 0755) < 0) fail(path);
  strncat(path, "/cgroup.subtree_control", sizeof path - strlen(path) - 1);
  if (unified && write_text(path, "+memory") < 0) fail(path);
}

static void make_cgroup(int i) {
  char path[256];
  cgroup_path(path, sizeof path, i, "");
  if (mkdir(path, 0755) < 0) fail(path);
  cgroup_path(path, sizeof path, i, limit_file);
  if (write_text(path, limit) < 0) fail(path);
}

static void victim(int i, const char *comm, long lives_ms) {
  char path[256];
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, comm);
  /* It may have been started by what must not be killed. */
  if (write_text("/proc/self/oom_score_adj", "0") < 0) fail("oom_score_adj");
  cgroup_path(path, sizeof path, i, "cgroup.procs");
  if (write_text(path, "0") < 0) fail(path);
  struct timespec life = {lives_ms / 1000, lives_ms % 1000 * 1000000};
  nanosleep(&life, NULL);
  /* Far beyond the limit, and then it is not the kernel that ends it. */
  for (int step = 0; step < 256; step++) {
    char *memory =
        mmap(NULL, step_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap");
    for (size_t at = 0; at < step_bytes; at += 4096) memory[at] = (char)(at | 1);
  }
  _exit(1);
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: storm COUNT COMM LEAST_MS MOST_MS\n");
    return 2;
  }
  int count = atoi(argv[1]);
  long least_ms = atol(argv[3]), most_ms = atol(argv[4]);
  pid_t *pids = calloc((size_t)count + 1, sizeof *pids);
  if (pids == NULL) fail("memory");
  make_parent();
  double started = milliseconds();
  for (int i = 0; i < count; i++) {
    make_cgroup(i);
    pids[i] = fork();
    if (pids[i] < 0) fail("fork");
    /* Neighbours in time are far apart in number. */
    long share = (long)i * 7919 % count;
    if (pids[i] == 0) victim(i, argv[2], least_ms + (most_ms - least_ms) * share / count);
  }
  int state;
  for (pid_t pid; (pid = wait(&state)) > 0;) {
    if (!WIFSIGNALED(state) || WTERMSIG(state) != SIGKILL) continue;
    for (int i = 0; i < count; i++) {
      if (pids[i] == pid) printf("killed %d %s/job-%d\n", pid, parent, i);
    }
  }
  printf("done %.0f\n", milliseconds() - started);
  fflush(stdout);
  char end[64];
  while (read(STDIN_FILENO, end, sizeof end) > 0) continue;
  char path[256];
  for (int i = 0; i < count; i++) {
    cgroup_path(path, sizeof path, i, "");
    rmdir(path);
  }
  snprintf(path, sizeof path, "%s%s", root, parent);
  return rmdir(path) < 0 ? 1 : 0;
}
