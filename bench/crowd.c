/*
 * A crowd for the exporter to read: sleeping processes, spread over memory cgroups of its own.
 *
 *   cc -O2 -o crowd crowd.c && ./crowd PROCESSES CGROUPS
 *
 * Prints "ready" and the directory that holds the cgroups once all exist. A line with a number N on its
 * standard input replaces the N oldest cgroups and their processes by new ones, and is answered by
 * "ready" too. Ends the processes and removes the cgroups when its standard input ends or on a signal.
 * CGROUPS 0 needs no root.
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
static int processes, cgroups;
static pid_t *pids;
/* The number in the name of the cgroup in each place: replaced cgroups get new names. */
static int *names;
static int next_name;

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

static void cgroup_path(char *path, size_t size, int place, const char *file) {
  snprintf(path, size, "%s/job-%d.service%s%s", parent, names[place], *file ? "/" : "", file);
}

static int make_cgroup(int place) {
  char path[256];
  names[place] = next_name++;
  cgroup_path(path, sizeof path, place, "");
  if (mkdir(path, 0755) < 0) return -1;
  cgroup_path(path, sizeof path, place, limit_file);
  return place % 2 == 0 ? write_text(path, "268435456") : 0;
}

static int make_cgroups(void) {
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
  for (int place = 0; place < cgroups; place++) {
    if (make_cgroup(place) < 0) return -1;
  }
  return 0;
}

static void remove_cgroups(void) {
  char path[256];
  for (int place = 0; place < cgroups; place++) {
    cgroup_path(path, sizeof path, place, "");
    rmdir(path);
  }
  if (cgroups > 0 && rmdir(parent) < 0) fail(parent);
}

static void on_signal(int number) { (void)number; }

static void sleeper(int i) {
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

static int start(int i) {
  pids[i] = fork();
  if (pids[i] == 0) sleeper(i);
  return pids[i] < 0 ? -1 : 0;
}

static int replace(int place) {
  char path[256];
  for (int i = place; i < processes; i += cgroups) kill(pids[i], SIGKILL);
  for (int i = place; i < processes; i += cgroups) waitpid(pids[i], NULL, 0);
  cgroup_path(path, sizeof path, place, "");
  if (rmdir(path) < 0 || make_cgroup(place) < 0) return -1;
  for (int i = place; i < processes; i += cgroups) {
    if (start(i) < 0) return -1;
  }
  return 0;
}

static int serve(void) {
  char line[64];
  int oldest = 0;
  for (;;) {
    printf("ready %s\n", parent);
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL) return 0;
    for (int left = atoi(line); left > 0 && cgroups > 0; left--) {
      if (replace(oldest) < 0) return -1;
      oldest = (oldest + 1) % cgroups;
    }
  }
}

int main(int argc, char **argv) {
  int status = 0;
  int started = 0;
  processes = argc > 1 ? atoi(argv[1]) : 0;
  cgroups = argc > 2 ? atoi(argv[2]) : 0;
  /* Without SA_RESTART: the signal ends the read, and the crowd is taken down in order. */
  struct sigaction stop = {.sa_handler = on_signal};
  sigaction(SIGINT, &stop, NULL);
  sigaction(SIGTERM, &stop, NULL);
  sigaction(SIGHUP, &stop, NULL);

  pids = calloc((size_t)processes + 1, sizeof *pids);
  names = calloc((size_t)cgroups + 1, sizeof *names);
  if (pids == NULL || names == NULL || (cgroups > 0 && make_cgroups() < 0)) {
    fail("cannot make the cgroups");
    status = 1;
  }
  for (; status == 0 && started < processes; started++) {
    if (start(started) < 0) {
      fail("fork");
      status = 1;
      break;
    }
  }
  if (status == 0 && serve() < 0) {
    fail("cannot replace a cgroup");
    status = 1;
  }
  for (int i = 0; i < started; i++) {
    if (pids[i] > 0) kill(pids[i], SIGKILL);
  }
  while (wait(NULL) > 0) continue;
  remove_cgroups();
  return status;
}
