// A guest's whole requests by the ioctls of KVM: write to QueueNotify, back-end, interrupt, InterruptStatus read and
// acknowledged, as Linux does. Arguments: the guest's code, its interrupt handler, 1 when the kernel is to pass on kicks
// and interrupts, how many requests the guest makes between its two marks. Prints the median of what a request took, in
// nanoseconds from one acknowledgement to the next.
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

// As in requests.bench.mjs.
enum { CODE_AT = 0x1000, HANDLER_AT = 0x1800, VECTOR = 0x25, LINE = 5, SIZE = 65536 };
enum { BEGIN = 0xd0010, END = 0xd0011, NOTIFY = 0xd0020, INTERRUPT_STATUS = 0xd0060, ACK = 0xd0064 };

static int vm, kick, call, assisted;
static volatile uint8_t pending;

static void signal_fd(int fd) {
  uint64_t one = 1;
  if (write(fd, &one, 8) != 8) exit(3);
}
static int watch(int fd, uint32_t events) {
  int epoll = epoll_create1(0);
  struct epoll_event event = { .events = events };
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) exit(4);
  return epoll;
}
static void *back_end(void *argument) {
  int epoll = watch(kick, EPOLLIN | EPOLLET);
  struct epoll_event event;
  for (;;) if (epoll_wait(epoll, &event, 1, -1) > 0) signal_fd(call);
  return argument;
}
static void *inject(void *argument) {
  int epoll = watch(call, EPOLLIN | EPOLLET);
  struct epoll_event event;
  struct kvm_irq_level high = { .irq = LINE, .level = 1 }, low = { .irq = LINE, .level = 0 };
  for (;;) {
    if (epoll_wait(epoll, &event, 1, -1) < 1) continue;
    pending = 1;
    if (ioctl(vm, KVM_IRQ_LINE, &high) || ioctl(vm, KVM_IRQ_LINE, &low)) exit(5);
  }
  return argument;
}
static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}
static void load(uint8_t *to, const char *hex) {
  for (unsigned byte; sscanf(hex, "%2x", &byte) == 1; hex += 2) *to++ = byte;
}
static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}
int main(int argc, char **argv) {
  if (argc < 5) return 1;
  long most = atol(argv[4]), taken = 0;
  int64_t *samples = malloc(most * sizeof *samples), last = 0;
  assisted = atoi(argv[3]);
  int kvm = open("/dev/kvm", O_RDWR);
  vm = ioctl(kvm, KVM_CREATE_VM, 0);
  uint8_t *memory = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  load(memory + CODE_AT, argv[1]);
  load(memory + HANDLER_AT, argv[2]);
  memcpy(memory + 4 * VECTOR, (uint8_t[]){ HANDLER_AT & 255, HANDLER_AT >> 8, 0, 0 }, 4);
  struct kvm_userspace_memory_region region = { 0, 0, 0, SIZE, (uintptr_t)memory };
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) || ioctl(vm, KVM_CREATE_IRQCHIP, 0)) return 1;
  kick = eventfd(0, EFD_NONBLOCK);
  call = eventfd(0, EFD_NONBLOCK);
  pthread_t thread;
  if (pthread_create(&thread, 0, back_end, 0)) return 1;
  if (assisted) {
    struct kvm_ioeventfd notify = { .addr = NOTIFY, .len = 1, .fd = kick };
    struct kvm_irqfd irqfd = { .fd = call, .gsi = LINE };
    if (ioctl(vm, KVM_IOEVENTFD, &notify) || ioctl(vm, KVM_IRQFD, &irqfd)) return 1;
  } else if (pthread_create(&thread, 0, inject, 0)) return 1;
  int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0), size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  struct kvm_run *run = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  struct kvm_sregs sregs;
  ioctl(vcpu, KVM_GET_SREGS, &sregs);
  sregs.cs.base = sregs.cs.selector = 0;
  struct kvm_regs regs = { .rip = CODE_AT, .rsp = 0x8000, .rflags = 2 };
  if (ioctl(vcpu, KVM_SET_SREGS, &sregs) || ioctl(vcpu, KVM_SET_REGS, &regs)) return 1;
  for (;;) {
    if (ioctl(vcpu, KVM_RUN, 0) || run->exit_reason != KVM_EXIT_MMIO) return 6;
    uint64_t address = run->mmio.phys_addr;
    if (!run->mmio.is_write) run->mmio.data[0] = address == INTERRUPT_STATUS ? assisted | pending : 0xff;
    else if (address == NOTIFY) signal_fd(kick);
    else if (address == ACK) {
      pending = 0;
      if (last == 0 || taken == most) continue;
      int64_t at = now();
      samples[taken++] = at - last;
      last = at;
    } else if (address == BEGIN) last = now();
    else if (address == END) break;
    else return 7;
  }
  if (taken == 0) return 8;
  qsort(samples, taken, sizeof *samples, compare);
  printf("%ld\n", (long)samples[taken / 2]);
  return 0;
}
