/*
 * Processes that hold memory in many ways, until the kernel has to choose one of them.
 *
 *   cc -O2 -static -pthread -o next-victim next-victim.c && ./next-victim
 *
 * Standard input, one line each:
 *   process ID PROCS_FILE key=value...  starts a process, moves it into the cgroup (- for none), and
 *                                     goes on once it holds its memory
 *     adj=N         oom_score_adj
 *     anon=KB       private memory, written
 *     huge=KB       the same, in huge pages where the kernel has some
 *     sparse=N      N pages, 2 MiB apart: a page table for each
 *     shared=KB     of one segment that all of them map, written
 *     file=KB       of the file in $SCENARIO_FILE, mapped and read
 *     pageout=KB    of anon, handed to swap
 *     children=N    forks, each of which writes touched=KB of what it inherited
 *     clones=N      processes in the same address space that are no threads of it; they set adj
 *     leaderless=1  the memory is another thread's, the first one has ended
 *     grows=1       takes more on "go"; ballast=KB: leaves so much of the machine's memory on "fill"
 *   fill            the ballast takes memory up to its KB
 *   go              the ballast takes nearly all, and then the growing one a step more for each go,
 *                   until somebody has died
 *   end             kills all and ends
 * $SCENARIO_KEEP is a program that is to stay in memory.
 * Standard output:
 *   ready ID PID KIND [TID]   KIND: main, child, clone; TID: the thread that is left
 *   started ID / filled / grown / exit PID SIGNAL
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L
#define SEGMENT_KB (64L << 10)
#define MADV_PAGEOUT_SINCE_5_4 21

enum { WAIT, FILL, GO, LAST, SOMEBODY_DIED };

/* The growing one is left the machine's last memory, so that it is still small when that is gone. */
#define LAST_KB 1024L
#define STEP_KB 512L

struct process {
  char id[32];
  char procs[300];
  int adj;
  long anon, huge, sparse, shared, file, pageout, touched, ballast;
  int children, clones, leaderless, grows;
};

/* One page that all see: the act, and how often "go" was said. */
static volatile int *phase;
static volatile int *steps;
static char *segment;
static int ready_pipe[2];

static void say(const char *format, ...) {
  char line[400];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  if (write(STDOUT_FILENO, line, (size_t)length) < 0) _exit(3);
}

static void fail(const char *what) {
  fprintf(stderr, "next-victim: %s: %s\n", what, strerror(errno));
  _exit(2);
}

static void write_text(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) fail(path);
  close(fd);
}

static char *mapped(long kb, int advice) {
  if (kb == 0) return NULL;
  char *memory = mmap(NULL, (size_t)kb << 10, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  madvise(memory, (size_t)kb << 10, advice);
  return memory;
}

static void touch(char *memory, long kb) {
  for (long at = 0; at < kb << 10; at += PAGE) memory[at] = 1;
}

/* Keeps a program in memory: what asks is to answer while memory is short, and without a disk. */
static void keep(const char *path) {
  int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  off_t size = lseek(fd, 0, SEEK_END);
  void *program = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
  if (program == MAP_FAILED || mlock(program, (size_t)size) < 0) fail("SCENARIO_KEEP");
  close(fd);
}

static void map_file(long kb) {
  if (kb == 0) return;
  const char *path = getenv("SCENARIO_FILE");
  int fd = open(path == NULL ? "" : path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("SCENARIO_FILE");
  char *file = mmap(NULL, (size_t)kb << 10, PROT_READ, MAP_SHARED, fd, 0);
  if (file == MAP_FAILED) fail("mmap of SCENARIO_FILE");
  madvise(file, (size_t)kb << 10, MADV_RANDOM);
  volatile char sum = 0;
  for (long at = 0; at < kb << 10; at += PAGE) sum += file[at];
  close(fd);
}

static void wait_for(int act) {
  while (*phase < act) usleep(2000);
}

/* What the machine has left, swap included. */
static long available_kb(void) {
  char text[4096];
  long kb = 0;
  int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  if (length <= 0) return 0;
  text[length] = 0;
  for (char *line = text; line != NULL; line = strchr(line + 1, '\n')) {
    sscanf(line, "\nMemAvailable: %ld", &kb);
    long swap = 0;
    if (sscanf(line, "\nSwapFree: %ld", &swap) == 1) kb += swap;
  }
  return kb;
}

/* Page by page, so that the growing one is hardly larger when the kernel chooses than when asked. */
static void grow(void) {
  wait_for(LAST);
  for (int step = 1;; step++) {
    while (*steps < step) usleep(2000);
    char *memory = mapped(STEP_KB, MADV_NOHUGEPAGE);
    for (long at = 0; at < STEP_KB << 10; at += PAGE) {
      if (*phase == SOMEBODY_DIED) for (;;) pause();
      memory[at] = 1;
      if (at % (16 * PAGE) == 0) usleep(100);
    }
    say("grown\n");
  }
}

static void fill(long left_kb) {
  while (*phase < SOMEBODY_DIED && available_kb() > left_kb) {
    touch(mapped(512, MADV_NOHUGEPAGE), 512);
  }
}

static void be_ballast(long left_kb) {
  wait_for(FILL);
  fill(left_kb);
  say("filled\n");
  wait_for(GO);
  fill(LAST_KB);
  __sync_bool_compare_and_swap(phase, GO, LAST);
}

static void hold(const struct process *self) {
  if (self->ballast > 0) be_ballast(self->ballast);
  if (self->grows) grow();
  for (;;) pause();
}

static void announce(const struct process *self, const char *kind, int thread) {
  if (thread != getpid()) say("ready %s %d %s %d\n", self->id, getpid(), kind, thread);
  else say("ready %s %d %s\n", self->id, getpid(), kind);
}

static void done(void) {
  if (write(ready_pipe[1], "r", 1) < 0) _exit(3);
}

static void adjust(int adj) {
  char text[16];
  snprintf(text, sizeof text, "%d", adj);
  write_text("/proc/self/oom_score_adj", text);
}

static int adjustment(void) {
  char text[16] = "";
  int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, text, sizeof text - 1) < 0) fail("/proc/self/oom_score_adj");
  close(fd);
  return atoi(text);
}

static int sleeper(void *argument) {
  const struct process *self = argument;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  adjust(self->adj);
  for (;;) pause();
  return 0;
}

static void take(const struct process *self) {
  char *anon = mapped(self->anon, MADV_NOHUGEPAGE);
  touch(anon, self->anon);
  touch(mapped(self->huge, MADV_HUGEPAGE), self->huge);
  if (self->sparse > 0) {
    char *memory = mapped(self->sparse << 11, MADV_NOHUGEPAGE);
    for (long i = 0; i < self->sparse; i++) memory[i << 21] = 1;
  }
  touch(segment, self->shared);
  map_file(self->file);
  if (self->pageout > 0) madvise(anon, (size_t)self->pageout << 10, MADV_PAGEOUT_SINCE_5_4);
  for (int i = 0; i < self->children; i++) {
    /* CLONE_PARENT: the parent itself gets the SIGCHLD of each. */
    long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
    if (pid < 0) fail("clone");
    if (pid > 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    touch(anon, self->touched);
    announce(self, "child", getpid());
    done();
    for (;;) pause();
  }
  for (int i = 0; i < self->clones; i++) {
    char *stack = mapped(64, MADV_NOHUGEPAGE);
    int pid = clone(sleeper, stack + (64 << 10), CLONE_VM | CLONE_PARENT | SIGCHLD, (void *)self);
    if (pid < 0) fail("clone");
    say("ready %s %d clone\n", self->id, pid);
  }
  /* What one of them sets, the kernel sets for all that share the memory. */
  while (self->clones > 0 && adjustment() != self->adj) usleep(1000);
}

static void *thread(void *argument) {
  const struct process *self = argument;
  usleep(20000);
  take(self);
  announce(self, "main", (int)syscall(SYS_gettid));
  done();
  hold(self);
  return NULL;
}

static void act(struct process *self) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, self->id);
  if (strcmp(self->procs, "-") != 0) write_text(self->procs, "0");
  if (self->clones == 0) adjust(self->adj);
  if (self->leaderless) {
    /* The dying first thread would have the signal of its parent's end for itself alone. */
    pthread_t other;
    if (pthread_create(&other, NULL, thread, self) != 0) fail("pthread_create");
    pthread_exit(NULL);
  }
  take(self);
  announce(self, "main", getpid());
  done();
  hold(self);
}

static long value_of(const char *line, const char *key) {
  const char *at = strstr(line, key);
  return at == NULL ? 0 : atol(at + strlen(key));
}

/* True for the ballast. */
static int start(const char *line) {
  struct process self = {0};
  char end;
  if (sscanf(line, "process %31s %299s", self.id, self.procs) != 2) fail(line);
  self.adj = (int)value_of(line, " adj=");
  self.anon = value_of(line, " anon=");
  self.huge = value_of(line, " huge=");
  self.sparse = value_of(line, " sparse=");
  self.shared = value_of(line, " shared=");
  self.file = value_of(line, " file=");
  self.pageout = value_of(line, " pageout=");
  self.touched = value_of(line, " touched=");
  self.ballast = value_of(line, " ballast=");
  self.children = (int)value_of(line, " children=");
  self.clones = (int)value_of(line, " clones=");
  self.leaderless = (int)value_of(line, " leaderless=");
  self.grows = (int)value_of(line, " grows=");
  pid_t pid = fork();
  if (pid == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGTERM, SIG_DFL);
    act(&self);
  }
  if (pid < 0) fail("fork");
  /* One after the other: what is equal in all else differs in age. */
  for (int i = 0; i < 1 + self.children; i++) {
    if (read(ready_pipe[0], &end, 1) != 1) fail("a process ended");
  }
  say("started %s\n", self.id);
  return self.ballast > 0;
}

static void go(int has_ballast) {
  if (*phase < GO) *phase = has_ballast ? GO : LAST;
  ++*steps;
}

static void reap(void) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
    if (*phase >= GO) *phase = SOMEBODY_DIED;
    say("exit %d %d\n", pid, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
  }
}

int main(void) {
  char line[1000];
  int has_ballast = 0;
  sigset_t signals;
  phase = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  steps = phase + 1;
  segment = mmap(NULL, SEGMENT_KB << 10, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (phase == MAP_FAILED || segment == MAP_FAILED || pipe(ready_pipe) < 0) fail("mmap or pipe");
  /* Where it may not, it is still small and in no limited cgroup. */
  int adjustment = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (adjustment < 0 || write(adjustment, "-1000", 5) < 0) errno = 0;
  if (adjustment >= 0) close(adjustment);
  setpgid(0, 0);
  signal(SIGTERM, SIG_IGN);
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  int ends = signalfd(-1, &signals, SFD_NONBLOCK);
  mlockall(MCL_CURRENT);
  keep(getenv("SCENARIO_KEEP"));

  setvbuf(stdin, NULL, _IONBF, 0);
  struct pollfd polled[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = ends, .events = POLLIN}};
  for (;;) {
    if (poll(polled, 2, -1) < 0 && errno != EINTR) fail("poll");
    if (polled[1].revents & POLLIN) {
      struct signalfd_siginfo info;
      while (read(ends, &info, sizeof info) > 0) continue;
      reap();
    }
    if (polled[0].revents == 0) continue;
    if (fgets(line, sizeof line, stdin) == NULL || strcmp(line, "end\n") == 0) break;
    if (strncmp(line, "process ", 8) == 0) has_ballast |= start(line);
    else if (strcmp(line, "fill\n") == 0) *phase = FILL;
    else if (strcmp(line, "go\n") == 0) go(has_ballast);
    else fail(line);
  }
  /* All have this process for a parent and are in its group, where only it bears this. */
  kill(0, SIGTERM);
  while (waitpid(-1, NULL, __WALL) > 0) continue;
  return 0;
}
