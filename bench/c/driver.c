// Posts register accesses as vCPUs do and measures them; the same for each dispatcher. Arguments: guests, what to
// measure (read, paced, loaded, request, direct), milliseconds to warm up, milliseconds to measure. Prints p50 and p99 in
// nanoseconds, how many there were, and how many accesses of other guests were answered meanwhile.
#include "dispatch.h"
#include <pthread.h>
#include <string.h>
#include <time.h>

#define MOST 4000000
static int guests, vcpu_epoll, line_epoll;
static struct slot *slots;
static atomic_int stopping;
static uint32_t *samples;
static long sample_count;
// Accesses of the other guests that were answered while it was measured.
static _Atomic long other_count;
static atomic_int measuring;

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}
static void post(int guest, uint32_t offset, uint32_t direction, uint64_t data) {
  struct slot *slot = slot_of(slots, guest);
  slot->addr = BASE + offset;
  slot->data = data;
  slot->count = 1;
  slot->size = 4;
  atomic_store(&slot->bits, TYPE_COPY | direction | STATE_READY << 16);
  signal_fd(request_fd(guest));
}
static int answered(int guest) {
  struct slot *slot = slot_of(slots, guest);
  uint32_t bits = atomic_load(&slot->bits);
  if (STATE_OF(bits) != STATE_RESPONSE) return 0;
  atomic_store(&slot->bits, WITH_STATE(bits, STATE_NONE));
  return 1;
}
// A vCPU's access: blocks as a vCPU does.
static uint32_t access_register(uint32_t offset, uint32_t direction, uint64_t data) {
  struct epoll_event event;
  post(0, offset, direction, data);
  while (!answered(0)) epoll_wait(vcpu_epoll, &event, 1, -1);
  return slot_of(slots, 0)->data;
}
static uint32_t get(uint32_t offset) { return access_register(offset, IS_READ, 0); }
static void set(uint32_t offset, uint32_t value) { access_register(offset, 0, value); }

// Other guests: each has a read under way at any time.
static void *others(void *argument) {
  int epoll = epoll_create1(0), under_way = 0;
  struct epoll_event events[64];
  for (int n = 1; n < guests; n++) watch_fd(epoll, answer_fd(n), EPOLLIN | EPOLLET, n);
  for (int n = 1; n < guests; n++, under_way++) post(n, INTERRUPT_STATUS, IS_READ, 0);
  while (under_way > 0) {
    int count = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < count; i++) {
      int n = events[i].data.u32;
      if (!answered(n)) continue;
      if (measuring) other_count++;
      if (stopping) under_way--;
      else post(n, INTERRUPT_STATUS, IS_READ, 0);
    }
  }
  return argument;
}
// Other guests that have more to do than to read registers: PACED of them read every TICK_US, in turn.
enum { TICK_US = 250, PACED = 4 };
static void *paced(void *argument) {
  char *under_way = calloc(guests, 1);
  for (int n = 1; !stopping;) {
    usleep(TICK_US);
    for (int i = 0; i < PACED; i++, n = n % (guests - 1) + 1) {
      if (under_way[n] && !answered(n)) continue;
      under_way[n] = 1;
      post(n, INTERRUPT_STATUS, IS_READ, 0);
    }
  }
  for (int n = 1; n < guests; n++) {
    while (under_way[n] && !answered(n)) usleep(TICK_US);
  }
  return argument;
}
static void wait_signal(int epoll, int fd) {
  struct epoll_event event;
  do epoll_wait(epoll, &event, 1, -1);
  while (!drain_fd(fd));
}
// A back-end: has served whatever it is kicked for.
static void *back_end(void *argument) {
  int kick = kick_fd(guests), epoll = epoll_create1(0);
  watch_fd(epoll, kick, EPOLLIN, 0);
  for (;;) {
    wait_signal(epoll, kick);
    if (stopping) return argument;
    signal_fd(call_fd(guests));
  }
}
static void drive(void) {
  set(STATUS, 0);
  if (get(STATUS) != 0 || get(MAGIC_VALUE) != 0x74726976) exit(5);
  set(STATUS, ACKNOWLEDGE | DRIVER);
  set(DEVICE_FEATURES_SEL, 1);
  if (!(get(DEVICE_FEATURES) & 1)) exit(5);
  // VIRTIO_F_VERSION_1 alone.
  set(DRIVER_FEATURES_SEL, 0);
  set(DRIVER_FEATURES, 0);
  set(DRIVER_FEATURES_SEL, 1);
  set(DRIVER_FEATURES, 1);
  set(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK);
  set(QUEUE_SEL, 0);
  if (get(QUEUE_NUM_MAX) < 64) exit(5);
  set(QUEUE_NUM, 64);
  set(QUEUE_DESC_LOW, 0x40000000);
  set(QUEUE_AVAIL_LOW, 0x40001000);
  set(QUEUE_USED_LOW, 0x40002000);
  set(QUEUE_READY, 1);
  set(STATUS, ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
  if (get(STATUS) != (ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)) exit(5);
}
static void one_read(void) { get(INTERRUPT_STATUS); }
// As Linux does it: the interrupt's handler reads InterruptStatus and acknowledges.
static void one_request(void) {
  set(QUEUE_NOTIFY, 0);
  wait_signal(line_epoll, line_fd(guests));
  if (!(get(INTERRUPT_STATUS) & 1)) exit(6);
  set(INTERRUPT_ACK, 1);
}
static void one_direct(void) {
  signal_fd(kick_fd(guests));
  wait_signal(line_epoll, call_fd(guests));
}
static void measure(void (*once)(void), int64_t warm_up, int64_t length) {
  int64_t begun = now(), at;
  while ((at = now()) - begun < warm_up) once();
  begun = at;
  measuring = 1;
  while (at - begun < length && sample_count < MOST) {
    once();
    int64_t next = now();
    samples[sample_count++] = next - at;
    at = next;
  }
  measuring = 0;
}
static int compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}
int main(int argc, char **argv) {
  pthread_t thread;
  if (argc < 5) return 1;
  guests = atoi(argv[1]);
  const char *what = argv[2];
  int64_t warm_up = atoll(argv[3]) * 1000000, length = atoll(argv[4]) * 1000000;
  int loaded = !strcmp(what, "loaded"), slow = !strcmp(what, "paced");
  int direct = !strcmp(what, "direct"), request = !strcmp(what, "request");
  slots = slots_of(guests);
  samples = malloc(MOST * sizeof *samples);
  vcpu_epoll = epoll_create1(0);
  watch_fd(vcpu_epoll, answer_fd(0), EPOLLIN | EPOLLET, 0);
  line_epoll = epoll_create1(0);
  int heard = direct ? call_fd(guests) : line_fd(guests);
  // What an earlier run has left.
  drain_fd(heard);
  drain_fd(kick_fd(guests));
  watch_fd(line_epoll, heard, EPOLLIN, 0);
  if (request) drive();
  if (loaded && pthread_create(&thread, 0, others, 0)) return 1;
  if (slow && pthread_create(&thread, 0, paced, 0)) return 1;
  if ((direct || request) && pthread_create(&thread, 0, back_end, 0)) return 1;
  measure(direct ? one_direct : request ? one_request : one_read, warm_up, length);
  stopping = 1;
  if (direct || request) signal_fd(kick_fd(guests));
  if (loaded || slow || direct || request) pthread_join(thread, 0);
  if (sample_count == 0) return 7;
  qsort(samples, sample_count, sizeof *samples, compare);
  printf("%u %u %ld %ld\n", samples[sample_count / 2], samples[sample_count * 99 / 100], sample_count, (long)other_count);
  return 0;
}
