/*
 * What a guest's script runs, one static program whose name decides what it does:
 *
 *   hog    takes memory until it has --mb of it or is killed
 *            --mb N --step-kb N --random (does not compress) --comm NAME (\n \\ \xHH) --mbind NODE
 *   run    starts a program in a cgroup, waits, and writes down how it ended
 *            --cgroup DIR --adj N --uid N --pidns --bg -- program args
 *   burst  N hogs, one after another or --parallel, each until it is killed
 *            --n N --parallel N --gap-ms N --cgroup DIR
 *   storm  N processes that are all there before the first one grows; each lives MIN to MAX ms, then takes memory
 *          until it has --mb of it or is killed. HOLD ms after the last one is at rest, those left get SIGTERM.
 *            --n N --mb N --step-kb N --live-ms MIN MAX --hold-ms HOLD --comm NAME
 *   thrash N processes that write to random pages of --mb each for --seconds, once all of them have written to
 *          every page; prints how many writes they made
 *            --n N --mb N --seconds N
 *   probe  asks for a path again and again until SIGTERM, and writes a line for each answer at the end:
 *          SECONDS MS STATUS MAJOR_FAULTS ANON_KB SWAP_KB. STATUS is 0 without an answer. It is locked in memory.
 *            --port N --path P --every-ms N --timeout-ms N --pid N --out FILE
 *
 * All but thrash and probe append to the file that $TRUTH names:
 *   start PID COMM_HEX          a process set its name
 *   cgroup PID DIRECTORY_HEX    it was put into a cgroup
 *   ready PID                   it holds its memory, and waits
 *   exit PID code=N sig=N       wait() saw it end
 * PIDs are those of the namespace of `run`, that of the kernel's log.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(2);
}

static void truth(const char *format, ...) {
  char line[9000];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  int file = open(getenv("TRUTH"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file < 0 || write(file, line, length) != length) fail("$TRUTH");
  close(file);
}

static void truth_hex(const char *word, int pid, const char *text) {
  char hex[8200] = "";
  for (size_t i = 0; text[i] && i < 4096; i++) sprintf(hex + 2 * i, "%02x", (unsigned char)text[i]);
  truth("%s %d %s\n", word, pid, hex);
}

static void truth_exit(int pid, int status) {
  truth("exit %d code=%d sig=%d\n", pid, WIFEXITED(status) ? WEXITSTATUS(status) : -1,
        WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

static void put(const char *path, const char *value) {
  int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0 || write(file, value, strlen(value)) < 0) fail(path);
  close(file);
}

static void set_score_adj(int value) {
  char text[16];
  snprintf(text, sizeof text, "%d", value);
  put("/proc/self/oom_score_adj", text);
}

static void enter_cgroup(const char *directory) {
  char path[4200];
  snprintf(path, sizeof path, "%s/cgroup.procs", directory);
  put(path, "0");
}

static void sleep_ms(long ms) {
  struct timespec rest = {ms / 1000, ms % 1000 * 1000000};
  while (ms > 0 && nanosleep(&rest, &rest) < 0 && errno == EINTR) {}
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

/* The next argument of an option such as --mb. */
static char *value_of(int count, char **arguments, int *at) {
  if (*at + 1 >= count) {
    fprintf(stderr, "%s needs a value\n", arguments[*at]);
    exit(2);
  }
  return arguments[++*at];
}
#define IS(option) (strcmp(arguments[at], option) == 0)
#define TEXT value_of(count, arguments, &at)
#define NUMBER atol(TEXT)

static void unknown(const char *argument) {
  fprintf(stderr, "unknown argument %s\n", argument);
  exit(2);
}

/* Replaces \n, \\ and \xHH in place. */
static void unescape(char *text) {
  char *out = text;
  for (; *text; text++) {
    if (text[0] != '\\' || !text[1]) *out++ = *text;
    else if (*++text == 'n') *out++ = '\n';
    else if (*text == 'x' && text[1] && text[2]) {
      char hex[3] = {text[1], text[2], 0};
      *out++ = (char)strtol(hex, NULL, 16);
      text += 2;
    } else *out++ = *text;
  }
  *out = 0;
}

/* Takes so many KiB, or without end where it is 0. */
static void take(long kb, long step_kb, int is_random) {
  uint64_t state = 88172645463325252ull ^ (uint64_t)getpid() << 32;
  for (long taken = 0; !kb || taken < kb; taken += step_kb) {
    size_t words = step_kb * 1024 / 8;
    uint64_t *memory = mmap(NULL, step_kb * 1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      sleep_ms(10);
      taken -= step_kb;
      continue;
    }
    madvise(memory, step_kb * 1024, MADV_NOHUGEPAGE);
    for (size_t word = 0; word < words; word += is_random ? 8 : 512) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      memory[word] = state;
    }
  }
}

static void hog(int count, char **arguments) {
  long mb = 0, step_kb = 1024;
  int is_random = 0, node = -1;
  for (int at = 1; at < count; at++) {
    if (IS("--mb")) mb = NUMBER;
    else if (IS("--step-kb")) step_kb = NUMBER;
    else if (IS("--random")) is_random = 1;
    else if (IS("--mbind")) node = NUMBER;
    else if (IS("--comm")) {
      char *comm = TEXT;
      unescape(comm);
      prctl(PR_SET_NAME, comm);
    } else unknown(arguments[at]);
  }
  if (node >= 0) {
    unsigned long nodes = 1ul << node;
    if (syscall(SYS_set_mempolicy, 2 /* MPOL_BIND */, &nodes, 8 * sizeof nodes)) fail("set_mempolicy");
  }
  /* The pid that `run` gave us is the one outside of our pid namespace. */
  int pid = getenv("KERNEL_PID") ? atoi(getenv("KERNEL_PID")) : getpid();
  char comm[17] = "";
  prctl(PR_GET_NAME, comm);
  truth_hex("start", pid, comm);
  take(mb * 1024, step_kb, is_random);
  truth("ready %d\n", pid);
  for (;;) pause();
}

static int run(int count, char **arguments) {
  const char *cgroup = NULL;
  int adj = 0, uid = 0, has_pid_namespace = 0, is_background = 0, at = 1;
  for (; at < count && !IS("--"); at++) {
    if (IS("--cgroup")) cgroup = TEXT;
    else if (IS("--adj")) adj = NUMBER;
    else if (IS("--uid")) uid = NUMBER;
    else if (IS("--pidns")) has_pid_namespace = 1;
    else if (IS("--bg")) is_background = 1;
    else unknown(arguments[at]);
  }
  if (++at >= count) unknown("(no program)");
  if (is_background) {
    if (fork()) return 0;
    setsid();
  }
  set_score_adj(-1000); /* the one who waits outlives the one who is killed */
  if (has_pid_namespace && unshare(CLONE_NEWPID)) fail("unshare");
  int gate[2];
  if (pipe2(gate, O_CLOEXEC)) fail("pipe");
  int pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    int own = 0;
    char text[16];
    if (read(gate[0], &own, sizeof own) != sizeof own) fail("pipe");
    snprintf(text, sizeof text, "%d", own);
    setenv("KERNEL_PID", text, 1);
    if (cgroup) enter_cgroup(cgroup);
    set_score_adj(adj);
    if (uid && (setgid(uid) || setuid(uid))) fail("setuid");
    execvp(arguments[at], arguments + at);
    fail(arguments[at]);
  }
  if (cgroup) truth_hex("cgroup", pid, cgroup);
  if (write(gate[1], &pid, sizeof pid) < 0) fail("pipe");
  int status;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
  truth_exit(pid, status);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int burst(int count, char **arguments) {
  int n = 200, parallel = 1;
  long gap_ms = 0;
  const char *cgroup = NULL;
  for (int at = 1; at < count; at++) {
    if (IS("--n")) n = NUMBER;
    else if (IS("--parallel")) parallel = NUMBER;
    else if (IS("--gap-ms")) gap_ms = NUMBER;
    else if (IS("--cgroup")) cgroup = TEXT;
    else unknown(arguments[at]);
  }
  set_score_adj(-1000);
  for (int started = 0, alive = 0; started < n || alive > 0;) {
    while (started < n && alive < parallel) {
      int pid = fork();
      if (pid < 0) fail("fork");
      if (pid == 0) {
        char name[32];
        snprintf(name, sizeof name, "burst-%d", started);
        prctl(PR_SET_NAME, name);
        if (cgroup) enter_cgroup(cgroup);
        if (cgroup) truth_hex("cgroup", getpid(), cgroup);
        truth_hex("start", getpid(), name);
        set_score_adj(0);
        take(0, 256, 0);
      }
      started++, alive++;
    }
    int status, pid = wait(&status);
    if (pid < 0) fail("wait");
    alive--;
    truth_exit(pid, status);
    sleep_ms(gap_ms);
  }
  return 0;
}

static int storm(int count, char **arguments) {
  int n = 16;
  long mb = 0, step_kb = 256, least_ms = 0, most_ms = 0, hold_ms = 3000;
  const char *comm = "storm";
  for (int at = 1; at < count; at++) {
    if (IS("--n")) n = NUMBER;
    else if (IS("--mb")) mb = NUMBER;
    else if (IS("--step-kb")) step_kb = NUMBER;
    else if (IS("--live-ms")) {
      least_ms = NUMBER;
      most_ms = NUMBER;
    } else if (IS("--hold-ms")) hold_ms = NUMBER;
    else if (IS("--comm")) comm = TEXT;
    else unknown(arguments[at]);
  }
  set_score_adj(-1000);
  volatile char *is_resting = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int *pids = calloc(n, sizeof *pids);
  int gate[2];
  if (pipe2(gate, O_CLOEXEC)) fail("pipe");
  for (int i = 0; i < n; i++) {
    pids[i] = fork();
    if (pids[i] < 0) fail("fork");
    if (pids[i] == 0) {
      prctl(PR_SET_NAME, comm);
      set_score_adj(0);
      close(gate[1]);
      char end;
      if (read(gate[0], &end, 1)) {}
      sleep_ms(least_ms + i * 7919L % n * (most_ms - least_ms) / n);
      take(mb * 1024, step_kb, 1);
      is_resting[i] = 1;
      for (;;) pause();
    }
    truth_hex("start", pids[i], comm);
  }
  mlockall(MCL_CURRENT);
  close(gate[1]);
  double rest_since = 0;
  for (int left = n; left > 0;) {
    int status, pid = waitpid(-1, &status, WNOHANG);
    if (pid > 0) {
      truth_exit(pid, status);
      for (int i = 0; i < n; i++) {
        if (pids[i] == pid) pids[i] = 0;
      }
      left--;
      continue;
    }
    int growing = 0;
    for (int i = 0; i < n; i++) growing += pids[i] && !is_resting[i];
    if (growing) rest_since = 0;
    else if (!rest_since) rest_since = now();
    else if (now() - rest_since > hold_ms / 1000.0) {
      for (int i = 0; i < n; i++) {
        if (pids[i]) kill(pids[i], SIGTERM);
      }
    }
    sleep_ms(20);
  }
  return 0;
}

static int thrash(int count, char **arguments) {
  int n = 2;
  long mb = 100, seconds = 30;
  for (int at = 1; at < count; at++) {
    if (IS("--n")) n = NUMBER;
    else if (IS("--mb")) mb = NUMBER;
    else if (IS("--seconds")) seconds = NUMBER;
    else unknown(arguments[at]);
  }
  volatile long *writes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int gate[2], ready[2];
  if (pipe(gate) || pipe(ready)) fail("pipe");
  for (int i = 0; i < n; i++) {
    if (fork()) continue;
    close(gate[1]);
    size_t pages = mb * 256;
    char *memory = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) fail("mmap");
    madvise(memory, pages * 4096, MADV_NOHUGEPAGE);
    uint64_t state = 88172645463325252ull + i;
    for (size_t page = 0; page < pages; page++) memory[page * 4096] = (char)page;
    char one = 0;
    if (write(ready[1], &one, 1) < 0 || read(gate[0], &one, 1)) fail("pipe");
    double end = now() + seconds;
    while (now() < end) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      memory[state % pages * 4096]++;
      writes[i]++;
    }
    _exit(0);
  }
  char one;
  for (int i = 0; i < n; i++) {
    if (read(ready[0], &one, 1) != 1) fail("pipe");
  }
  close(gate[1]);
  long sum = 0;
  while (wait(NULL) > 0) {}
  for (int i = 0; i < n; i++) sum += writes[i];
  printf("%ld\n", sum);
  return 0;
}

static volatile sig_atomic_t must_stop;
static void on_term(int number) { must_stop = number; }

struct answer {
  double at;
  double ms;
  int status;
  long major_faults, anon_kb, swap_kb;
};

static long field_of(const char *text, const char *name) {
  const char *at = strstr(text, name);
  return at ? atol(at + strlen(name)) : -1;
}

static int read_file(const char *path, char *text, int size) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  int length = file < 0 ? 0 : read(file, text, size - 1);
  if (file >= 0) close(file);
  text[length > 0 ? length : 0] = 0;
  return length;
}

static void look_at(int pid, struct answer *answer) {
  char path[64], text[8192];
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  read_file(path, text, sizeof text);
  answer->anon_kb = field_of(text, "RssAnon:");
  answer->swap_kb = field_of(text, "VmSwap:");
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  read_file(path, text, sizeof text);
  answer->major_faults = -1;
  char *end = strrchr(text, ')');
  if (end) sscanf(end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %ld", &answer->major_faults);
}

/* The status of the answer, read to its end; 0 where there was none in time. */
static int ask(int port, const char *path, long timeout_ms) {
  static char text[1 << 16];
  char request[256], head[16] = "";
  int got = 0;
  double end = now() + timeout_ms / 1000.0;
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n", path);
  if (connect(peer, (void *)&address, sizeof address) == 0 && write(peer, request, strlen(request)) > 0) {
    for (int length = 1; length > 0 && !must_stop;) {
      struct pollfd readable = {peer, POLLIN, 0};
      long left_ms = (end - now()) * 1000;
      if (left_ms <= 0) {
        got = 0;
        break;
      }
      if (poll(&readable, 1, left_ms > 200 ? 200 : left_ms) <= 0) continue;
      length = read(peer, text, sizeof text);
      for (int i = 0; i < length && got < 15; i++) head[got++] = text[i];
    }
  }
  close(peer);
  return got > 12 ? atoi(head + 9) : 0;
}

static int probe(int count, char **arguments) {
  int port = 10137, pid = 0;
  long every_ms = 1000, timeout_ms = 60000;
  const char *path = "/metrics", *out = "/results/probe.txt";
  for (int at = 1; at < count; at++) {
    if (IS("--port")) port = NUMBER;
    else if (IS("--pid")) pid = NUMBER;
    else if (IS("--every-ms")) every_ms = NUMBER;
    else if (IS("--timeout-ms")) timeout_ms = NUMBER;
    else if (IS("--path")) path = TEXT;
    else if (IS("--out")) out = TEXT;
    else unknown(arguments[at]);
  }
  set_score_adj(-1000);
  FILE *file = fopen(out, "w");
  if (!file) fail(out);
  enum { most = 4000 };
  static struct answer answers[most];
  memset(answers, 1, sizeof answers);
  mlockall(MCL_CURRENT | MCL_FUTURE);
  struct sigaction action = {.sa_handler = on_term};
  sigaction(SIGTERM, &action, NULL);
  int n = 0;
  while (!must_stop && n < most) {
    struct answer *answer = &answers[n++];
    answer->at = now();
    answer->status = ask(port, path, timeout_ms);
    answer->ms = (now() - answer->at) * 1000;
    look_at(pid, answer);
    if (!must_stop) sleep_ms(every_ms - (long)answer->ms);
  }
  for (int i = 0; i < n; i++) {
    struct answer *a = &answers[i];
    fprintf(file, "%.3f %.1f %d %ld %ld %ld\n", a->at, a->ms, a->status, a->major_faults, a->anon_kb, a->swap_kb);
  }
  fclose(file);
  return 0;
}

int main(int count, char **arguments) {
  const char *slash = strrchr(arguments[0], '/');
  const char *name = slash ? slash + 1 : arguments[0];
  if (!strcmp(name, "hog")) hog(count, arguments);
  if (!strcmp(name, "run")) return run(count, arguments);
  if (!strcmp(name, "burst")) return burst(count, arguments);
  if (!strcmp(name, "storm")) return storm(count, arguments);
  if (!strcmp(name, "thrash")) return thrash(count, arguments);
  if (!strcmp(name, "probe")) return probe(count, arguments);
  fprintf(stderr, "call it hog, run, burst, storm, thrash or probe\n");
  return 2;
}
