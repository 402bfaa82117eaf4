/*
 * Takes memory as the environment says; its arguments and its name may be anything:
 * HOG="START_MB WAIT_S MB_PER_S TO_MB". Without a rate, all of it at once.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void take(double mb) {
  long bytes = mb * 1048576;
  if (bytes <= 0) return;
  char *memory =
      mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) exit(1);
  for (long at = 0; at < bytes; at += 4096) memory[at] = 1;
}

int main(void) {
  double start, wait, rate, to;
  const char *what = getenv("HOG");
  if (!what || sscanf(what, "%lf %lf %lf %lf", &start, &wait, &rate, &to) != 4) return 2;
  take(start);
  usleep(wait * 1e6);
  if (rate <= 0) take(to - start);
  for (double held = start; rate > 0 && held < to; held += rate / 10) {
    take(rate / 10);
    usleep(100000);
  }
  for (;;) pause();
}
