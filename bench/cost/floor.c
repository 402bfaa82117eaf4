/*
 * The least that reading can cost: the files that a scrape's numbers come from, and nothing done with them.
 *
 *   cc -O2 -o floor floor.c && ./floor open|kept DIRECTORY
 *
 * On each line of standard input reads oom_score of every process and the memory files of every cgroup
 * right below DIRECTORY, and prints how many bytes that were. "open" opens, reads and closes each file,
 * "kept" keeps its descriptors; it lists /proc each time and the cgroups once.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char *v1[] = {"memory.usage_in_bytes", "memory.limit_in_bytes", "memory.max_usage_in_bytes",
                           "memory.stat", "memory.failcnt", "memory.oom_control",
                           "memory.memsw.limit_in_bytes", NULL};
static const char *v2[] = {"memory.current", "memory.max", "memory.high", "memory.peak",
                           "memory.swap.current", "memory.swap.max", "memory.stat",
                           "memory.events.local", "memory.pressure", NULL};

static int keeps;
static char buffer[1 << 16];
/* By pid; the kernel's largest is 2^22. 0: not open. */
static int of_process[1 << 22];
static char (*paths)[320];
static int *of_file;
static int files;

static long read_file(const char *path, int *kept) {
  int fd = keeps && *kept > 0 ? *kept : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  long length = pread(fd, buffer, sizeof buffer, 0);
  if (!keeps || length < 0) {
    close(fd);
    *kept = 0;
  } else {
    *kept = fd;
  }
  return length;
}

static void list_cgroups(const char *directory) {
  const char **names = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0 ? v2 : v1;
  DIR *list = opendir(directory);
  if (list == NULL) return;
  for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
    for (const char **name = names; *name != NULL; name++) {
      paths = realloc(paths, sizeof *paths * (files + 1));
      of_file = realloc(of_file, sizeof *of_file * (files + 1));
      snprintf(paths[files], sizeof *paths, "%s/%s/%s", directory, entry->d_name, *name);
      of_file[files] = 0;
      if (access(paths[files], R_OK) == 0) files++;
    }
  }
  closedir(list);
}

static long pass(void) {
  char path[64];
  long bytes = 0;
  DIR *proc = opendir("/proc");
  for (struct dirent *entry; proc != NULL && (entry = readdir(proc)) != NULL;) {
    int pid = atoi(entry->d_name);
    if (pid <= 0) continue;
    snprintf(path, sizeof path, "/proc/%d/oom_score", pid);
    long length = read_file(path, &of_process[pid]);
    if (length > 0) bytes += length;
  }
  closedir(proc);
  for (int i = 0; i < files; i++) {
    long length = read_file(paths[i], &of_file[i]);
    if (length > 0) bytes += length;
  }
  return bytes;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: floor open|kept DIRECTORY\n");
    return 2;
  }
  keeps = strcmp(argv[1], "kept") == 0;
  struct rlimit descriptors = {1 << 20, 1 << 20};
  if (keeps && setrlimit(RLIMIT_NOFILE, &descriptors) < 0) perror("floor: RLIMIT_NOFILE");
  list_cgroups(argv[2]);
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    printf("%ld\n", pass());
    fflush(stdout);
  }
  return 0;
}
