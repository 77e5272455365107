// The only module that loads koffi. Everything here is a raw binding: callers in this package turn
// results into `SysError`s and own the lifetime of every pointer that they pass.
import koffi from 'koffi';
import type { HostPointer } from './brand.ts';
import { EINTR } from './errno.ts';
import { SysError } from './errors.ts';

/** Memory handed to a system call: bytes of ours, a raw pointer, or nothing. */
export type MemoryArg = ArrayBufferView | ArrayBuffer | HostPointer | null;

const libc = koffi.load(null);

type Raw<A extends unknown[], R = number> = (...args: A) => R;

const raw = <A extends unknown[], R = number>(definition: string): Raw<A, R> =>
  libc.func(definition) as Raw<A, R>;

export const sys = {
  read: raw<[number, MemoryArg, number]>('intptr_t read(int fd, void *buf, size_t count)'),
  write: raw<[number, MemoryArg, number]>('intptr_t write(int fd, void *buf, size_t count)'),
  // Memory by its address, a number: the calls that every request makes. An array costs twice as much,
  // and a 64-bit result more than these need, of which none is over 2^31.
  epollWaitAt: raw<[number, number, number, number]>(
    'int epoll_wait(int epfd, long events, int maxevents, int timeout)',
  ),
  getrandomAt: raw<[number, number, number]>('int getrandom(long buf, long length, int flags)'),
  /** sys/eventfd.h: a write of the value, without memory for it. */
  eventfdWrite: raw<[number, number]>('int eventfd_write(int fd, unsigned long value)'),
  readv: raw<[number, MemoryArg, number]>('intptr_t readv(int fd, void *iov, int count)'),
  writev: raw<[number, MemoryArg, number]>('intptr_t writev(int fd, void *iov, int count)'),
  ioctl: raw<[number, number, MemoryArg]>('int ioctl(int fd, unsigned long request, void *arg)'),
  ioctlNumber: raw<[number, number, number]>(
    'int ioctl(int fd, unsigned long request, unsigned long arg)',
  ),
  fcntl: raw<[number, number, number]>('int fcntl(int fd, int command, long arg)'),
  flock: raw<[number, number]>('int flock(int fd, int operation)'),
  ftruncate: raw<[number, number]>('int ftruncate(int fd, long length)'),
  mmap: raw<[MemoryArg, number, number, number, number, number | bigint], HostPointer>(
    'void *mmap(void *addr, size_t length, int prot, int flags, int fd, long offset)',
  ),
  munmap: raw<[HostPointer, number]>('int munmap(void *addr, size_t length)'),
  mprotect: raw<[HostPointer, number, number]>('int mprotect(void *addr, size_t length, int prot)'),
  fstatfs: raw<[number, MemoryArg]>('int fstatfs(int fd, void *buf)'),
  sysconf: raw<[number]>('long sysconf(int name)'),
  memfdCreate: raw<[string, number]>('int memfd_create(const char *name, unsigned int flags)'),
  eventfd: raw<[number, number]>('int eventfd(unsigned int initval, int flags)'),
  timerfdCreate: raw<[number, number]>('int timerfd_create(int clockid, int flags)'),
  timerfdSettime: raw<[number, number, MemoryArg, MemoryArg]>(
    'int timerfd_settime(int fd, int flags, void *new_value, void *old_value)',
  ),
  epollCreate1: raw<[number]>('int epoll_create1(int flags)'),
  epollCtl: raw<[number, number, number, MemoryArg]>(
    'int epoll_ctl(int epfd, int op, int fd, void *event)',
  ),
  socket: raw<[number, number, number]>('int socket(int domain, int type, int protocol)'),
  bind: raw<[number, MemoryArg, number]>('int bind(int fd, void *addr, uint32_t length)'),
  listen: raw<[number, number]>('int listen(int fd, int backlog)'),
  connect: raw<[number, MemoryArg, number]>('int connect(int fd, void *addr, uint32_t length)'),
  accept4: raw<[number, MemoryArg, MemoryArg, number]>(
    'int accept4(int fd, void *addr, void *length, int flags)',
  ),
  socketpair: raw<[number, number, number, MemoryArg]>(
    'int socketpair(int domain, int type, int protocol, void *fds)',
  ),
  getsockopt: raw<[number, number, number, MemoryArg, MemoryArg]>(
    'int getsockopt(int fd, int level, int name, void *value, void *length)',
  ),
  shutdown: raw<[number, number]>('int shutdown(int fd, int how)'),
  sendmsg: raw<[number, MemoryArg, number]>('intptr_t sendmsg(int fd, void *msg, int flags)'),
  recvmsg: raw<[number, MemoryArg, number]>('intptr_t recvmsg(int fd, void *msg, int flags)'),
  sigaction: raw<[number, MemoryArg, MemoryArg]>('int sigaction(int signum, void *act, void *old)'),
  /** System calls that libc has no function for everywhere: gettid, tgkill. */
  syscall: raw<[number, number, number, number]>(
    'long syscall(long number, long a, long b, long c)',
  ),
  clockGettime: raw<[number, MemoryArg]>('int clock_gettime(int clockid, void *tp)'),
  /** Address of a function that every libc has, as a number. */
  dlsym: raw<[null, string], number | bigint>('uintptr_t dlsym(void *handle, const char *symbol)'),
  timerCreate: raw<[number, MemoryArg, MemoryArg]>(
    'int timer_create(int clockid, void *sevp, void *timerid)',
  ),
  timerSettime: raw<[bigint, number, MemoryArg, MemoryArg]>(
    'int timer_settime(uintptr_t timerid, int flags, void *new_value, void *old_value)',
  ),
  timerDelete: raw<[bigint]>('int timer_delete(uintptr_t timerid)'),
  preadv2: raw<[number, MemoryArg, number, number, number]>(
    'intptr_t preadv2(int fd, void *iov, int count, long offset, int flags)',
  ),
  alarm: raw<[number]>('unsigned int alarm(unsigned int seconds)'),
  exit: raw<[number], undefined>('void _exit(int status)'),
} as const;

/**
 * Makes a call on a thread of libuv's pool, for what takes long: this one goes on meanwhile. What it is given
 * must stay until the answer, so that memory is passed by its address. `errno` stays on that thread.
 */
export function callAsync<A extends unknown[], R>(call: Raw<A, R>, ...args: A): Promise<R> {
  type Later = (...args: [...A, (error: unknown, result: R) => void]) => void;
  const { async: later } = call as unknown as { readonly async: Later };
  return new Promise((resolve, reject) => {
    later(...args, (error, result) => {
      if (error === null || error === undefined) resolve(result);
      else reject(error);
    });
  });
}

/** `errno` of the last failed call on this thread. */
export function errno(): number {
  return koffi.errno();
}

/**
 * Turns a negative result into a `SysError`.
 *
 * @returns the result, >= 0
 * @throws {SysError} when `result` is negative
 */
export function check(result: number, syscall: string, subject?: string): number {
  if (result >= 0) return result;
  throw new SysError({
    syscall,
    errno: koffi.errno(),
    ...(subject === undefined ? {} : { subject }),
  });
}

/** Repeats a system call for as long as a signal interrupts it. */
export function retry(call: () => number): number {
  for (;;) {
    const result = call();
    if (result >= 0 || koffi.errno() !== EINTR) return result;
  }
}

/**
 * Address of the first byte of a buffer. It stays valid for as long as the buffer is reachable: the
 * backing store of an `ArrayBuffer` never moves.
 */
export function addressOf(memory: ArrayBufferView | ArrayBuffer): HostPointer {
  return koffi.address(memory) as HostPointer;
}

/**
 * An `ArrayBuffer` over memory that somebody else owns.
 *
 * SAFETY: the caller guarantees that `[pointer, pointer + length)` stays mapped for as long as any
 * view of the result is used; touching it afterwards is a segmentation fault.
 */
export function viewOf(pointer: HostPointer, length: number): ArrayBuffer {
  return koffi.view(pointer, length);
}

/** Starts watching `fd` on Node's own event loop. The callback must hold the handle. */
export const nodePoll: typeof koffi.node.poll = koffi.node.poll;
export type PollHandle = ReturnType<typeof koffi.node.poll>;
