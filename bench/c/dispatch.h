// What the dispatcher in C and the driver of the benchmark share: the ioreq page of each guest, and who signals
// whom. Descriptors begin at 3: a memfd with a page for each guest; request and answer of each guest; and of guest 0
// the interrupt line, the kick of queue 0 and the call of the back-end.
#ifndef DISPATCH_H
#define DISPATCH_H
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define BASE 0x2000000u
#define WINDOW 0x200u

// VIRTIO 1.3, section 4.2.2.
enum {
  MAGIC_VALUE = 0x00, VERSION = 0x04, DEVICE_ID = 0x08, VENDOR_ID = 0x0c, DEVICE_FEATURES = 0x10,
  DEVICE_FEATURES_SEL = 0x14, DRIVER_FEATURES = 0x20, DRIVER_FEATURES_SEL = 0x24, QUEUE_SEL = 0x30,
  QUEUE_NUM_MAX = 0x34, QUEUE_NUM = 0x38, QUEUE_READY = 0x44, QUEUE_NOTIFY = 0x50, INTERRUPT_STATUS = 0x60,
  INTERRUPT_ACK = 0x64, STATUS = 0x70, QUEUE_DESC_LOW = 0x80, QUEUE_AVAIL_LOW = 0x90, QUEUE_USED_LOW = 0xa0,
  CONFIG_GENERATION = 0xfc
};
enum { ACKNOWLEDGE = 1, DRIVER = 2, DRIVER_OK = 4, FEATURES_OK = 8 };

// xen/include/public/hvm/ioreq.h::struct ioreq, with the bit fields and the type as one word.
struct slot {
  uint64_t addr, data;
  uint32_t count, size, port;
  _Atomic uint32_t bits;
};
enum { STATE_NONE = 0, STATE_READY = 1, STATE_INPROCESS = 2, STATE_RESPONSE = 3 };
#define STATE_OF(bits) ((bits) >> 16 & 15)
#define WITH_STATE(bits, state) (((bits) & ~(15u << 16)) | (uint32_t)(state) << 16)
#define IS_POINTER (1u << 20)
#define IS_READ (1u << 21)
#define TYPE_COPY (1u << 24)

static inline struct slot *slots_of(int guests) {
  void *pages = mmap(0, (size_t)guests * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0);
  if (pages == MAP_FAILED) exit(2);
  return pages;
}
static inline struct slot *slot_of(struct slot *slots, int guest) {
  return (struct slot *)((char *)slots + (size_t)guest * PAGE);
}
static inline int request_fd(int guest) { return 4 + 2 * guest; }
static inline int answer_fd(int guest) { return 5 + 2 * guest; }
static inline int line_fd(int guests) { return 4 + 2 * guests; }
static inline int kick_fd(int guests) { return 5 + 2 * guests; }
static inline int call_fd(int guests) { return 6 + 2 * guests; }

static inline void signal_fd(int fd) {
  uint64_t one = 1;
  if (write(fd, &one, 8) != 8) exit(3);
}
static inline int drain_fd(int fd) {
  uint64_t value;
  return read(fd, &value, 8) == 8;
}
static inline void watch_fd(int epoll, int fd, uint32_t events, uint32_t token) {
  struct epoll_event event = { .events = events, .data.u32 = token };
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) exit(4);
}
#endif
