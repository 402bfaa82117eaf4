/*
 * A crowd for the exporter to read: sleeping processes, spread over memory cgroups of its own.
 *
 *   cc -O2 -o crowd crowd.c && ./crowd PROCESSES CGROUPS
 *
 * Prints "ready" once all stand, and the directory that holds the cgroups. Ends them and removes the
 * cgroups when its standard input ends or it gets a signal. CGROUPS 0 needs no root.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char parent[128];
static const char *limit_file = "memory.limit_in_bytes";

static void fail(const char *what) {
  fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
}

static int write_text(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t written = write(fd, text, strlen(text));
  close(fd);
  return written < 0 ? -1 : 0;
}

static void cgroup_path(char *path, size_t size, int i, const char *file) {
  snprintf(path, size, "%s/job-%d.service%s%s", parent, i, *file ? "/" : "", file);
}

static int make_cgroups(int count) {
  char path[256];
  const char *root = "/sys/fs/cgroup/memory";
  int unified = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
  if (unified) {
    root = "/sys/fs/cgroup";
    limit_file = "memory.max";
  }
  snprintf(parent, sizeof parent, "%s/oom-exporter-bench-%d", root, getpid());
  if (mkdir(parent, 0755) < 0) return -1;
  snprintf(path, sizeof path, "%s/cgroup.subtree_control", parent);
  if (unified && write_text(path, "+memory") < 0) return -1;
  for (int i = 0; i < count; i++) {
    cgroup_path(path, sizeof path, i, "");
    if (mkdir(path, 0755) < 0) return -1;
    cgroup_path(path, sizeof path, i, limit_file);
    if (i % 2 == 0 && write_text(path, "268435456") < 0) return -1;
  }
  return 0;
}

static void remove_cgroups(int count) {
  char path[256];
  for (int i = 0; i < count; i++) {
    cgroup_path(path, sizeof path, i, "");
    rmdir(path);
  }
  if (count > 0 && rmdir(parent) < 0) fail(parent);
}

static void on_signal(int number) { (void)number; }

static void sleeper(int i, int cgroups) {
  char text[256];
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  snprintf(text, sizeof text, "crowd-%d", i);
  prctl(PR_SET_NAME, text);
  if (cgroups > 0) {
    cgroup_path(text, sizeof text, i % cgroups, "cgroup.procs");
    if (write_text(text, "0") < 0) fail(text);
  }
  for (;;) pause();
}

int main(int argc, char **argv) {
  int processes = argc > 1 ? atoi(argv[1]) : 0;
  int cgroups = argc > 2 ? atoi(argv[2]) : 0;
  int status = 0;
  int started = 0;
  /* Without SA_RESTART: the signal ends the wait below, and the crowd is taken down in order. */
  struct sigaction stop = {.sa_handler = on_signal};
  sigaction(SIGINT, &stop, NULL);
  sigaction(SIGTERM, &stop, NULL);
  sigaction(SIGHUP, &stop, NULL);

  pid_t *pids = calloc((size_t)processes + 1, sizeof *pids);
  if (pids == NULL || (cgroups > 0 && make_cgroups(cgroups) < 0)) {
    fail("cannot make the cgroups");
    status = 1;
  }
  for (; status == 0 && started < processes; started++) {
    pids[started] = fork();
    if (pids[started] == 0) sleeper(started, cgroups);
    if (pids[started] < 0) {
      fail("fork");
      status = 1;
      break;
    }
  }
  if (status == 0) {
    char end[64];
    printf("ready %s\n", parent);
    fflush(stdout);
    while (read(STDIN_FILENO, end, sizeof end) > 0) continue;
  }
  for (int i = 0; i < started; i++) kill(pids[i], SIGKILL);
  while (wait(NULL) > 0) continue;
  remove_cgroups(cgroups);
  return status;
}
