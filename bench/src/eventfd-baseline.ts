import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What two threads do in C: the limit. Arguments: rounds, 1 for edge-triggered without reads. */
const SOURCE = `
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
static int ping, pong, edge;
static long rounds;
static int watch(int fd) {
  int ep = epoll_create1(0);
  struct epoll_event ev = { .events = EPOLLIN | (edge ? EPOLLET : 0) };
  epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
  return ep;
}
static void await_signal(int ep, int fd) {
  struct epoll_event ev;
  uint64_t v;
  while (epoll_wait(ep, &ev, 1, -1) < 1) {}
  if (!edge && read(fd, &v, 8) != 8) exit(1);
}
static void signal_fd(int fd) {
  uint64_t one = 1;
  if (write(fd, &one, 8) != 8) exit(1);
}
static void *echo(void *arg) {
  int ep = watch(ping);
  for (long i = 0; i < rounds; i++) { await_signal(ep, ping); signal_fd(pong); }
  return arg;
}
int main(int argc, char **argv) {
  pthread_t thread;
  struct timespec a, b;
  rounds = atol(argv[1]);
  edge = argc > 2 && atoi(argv[2]);
  ping = eventfd(0, EFD_NONBLOCK);
  pong = eventfd(0, EFD_NONBLOCK);
  pthread_create(&thread, 0, echo, 0);
  int ep = watch(pong);
  clock_gettime(CLOCK_MONOTONIC, &a);
  for (long i = 0; i < rounds; i++) { signal_fd(ping); await_signal(ep, pong); }
  clock_gettime(CLOCK_MONOTONIC, &b);
  printf("%f\\n", ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / rounds);
  return 0;
}
`;

/** The C program, compiled; undefined without a compiler. */
export class EventFdBaseline implements Disposable {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static compile(): EventFdBaseline | undefined {
    const directory = mkdtempSync(join(tmpdir(), 'node-vmm-bench-'));
    try {
      const source = join(directory, 'pingpong.c');
      writeFileSync(source, SOURCE);
      const args = ['-O2', '-pthread', '-o', join(directory, 'pingpong'), source];
      execFileSync('gcc', args, { stdio: 'ignore' });
      return new EventFdBaseline(directory);
    } catch {
      rmSync(directory, { recursive: true });
      return undefined;
    }
  }

  /** @returns nanoseconds per round trip */
  run(rounds: number, edge: boolean): number {
    const args = [`${rounds}`, edge ? '1' : '0'];
    return Number(execFileSync(join(this.#directory, 'pingpong'), args, { encoding: 'utf8' }));
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true });
  }
}
