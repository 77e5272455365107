// A dispatcher in C, the limit: what a dispatch thread of node-vmm does. Arguments: guests, threads. Guest n is
// thread n modulo threads's. Says "ready", and serves until it is killed.
#include "dispatch.h"
#include <pthread.h>

#define NO_QUEUE 0xffffffffu
struct device {
  uint32_t status, features_sel, queue_sel, queue_num, queue_ready, pending;
  int line, kick;
};
struct window {
  uint64_t base, length;
  struct device *device;
};
struct guest {
  struct slot *slot;
  int request, answer;
  struct window windows[1];
  int window_count;
  struct device device;
};
struct thread {
  pthread_t thread;
  int epoll;
};
static struct guest *guests;
static int guest_count, thread_count;

static uint32_t register_read(struct device *d, uint32_t offset) {
  switch (offset) {
    case MAGIC_VALUE: return 0x74726976;
    case VERSION: return 2;
    case DEVICE_ID: return 4;
    case VENDOR_ID: return 0x1af4;
    case DEVICE_FEATURES: return d->features_sel == 1;
    case QUEUE_NUM_MAX: return d->queue_sel == 0 ? 64 : 0;
    case QUEUE_READY: return d->queue_sel == 0 ? d->queue_ready : 0;
    case INTERRUPT_STATUS: return d->pending;
    case STATUS: return d->status;
    default: return 0;
  }
}
static void register_write(struct device *d, uint32_t offset, uint32_t value) {
  switch (offset) {
    case DEVICE_FEATURES_SEL: d->features_sel = value; break;
    case QUEUE_SEL: d->queue_sel = value; break;
    case QUEUE_NUM: d->queue_num = value; break;
    case QUEUE_READY: d->queue_ready = value & 1; break;
    case INTERRUPT_ACK: d->pending &= ~value; break;
    case STATUS:
      d->status = value;
      if (value == 0) d->pending = d->queue_ready = 0;
      break;
    case QUEUE_NOTIFY:
      if (value == 0 && d->kick >= 0) signal_fd(d->kick);
      break;
  }
}
static struct window *find(struct guest *g, uint64_t addr, uint32_t size) {
  for (int i = 0; i < g->window_count; i++) {
    struct window *w = &g->windows[i];
    if (addr >= w->base && addr - w->base + size <= w->length) return w;
  }
  return 0;
}
static void service(struct guest *g) {
  struct slot *slot = g->slot;
  uint32_t bits = atomic_load(&slot->bits);
  if (STATE_OF(bits) != STATE_READY) return;
  // Whoever else looks at the word, as Linux does for ioeventfds: one of us takes the request.
  if (!atomic_compare_exchange_strong(&slot->bits, &bits, WITH_STATE(bits, STATE_INPROCESS))) return;
  uint64_t addr = slot->addr, data = slot->data;
  uint32_t size = slot->size, count = slot->count;
  int valid = count == 1 && size == 4 && addr % 4 == 0 && !(bits & IS_POINTER) && bits >> 24 == 1;
  struct window *w = valid ? find(g, addr, size) : 0;
  if (bits & IS_READ) slot->data = w ? register_read(w->device, addr - w->base) : ~0ull;
  else if (w) register_write(w->device, addr - w->base, data);
  atomic_store(&slot->bits, WITH_STATE(bits, STATE_RESPONSE));
  signal_fd(g->answer);
}
static void *dispatch(void *argument) {
  struct thread *thread = argument;
  struct epoll_event events[64];
  for (;;) {
    int count = epoll_wait(thread->epoll, events, 64, -1);
    for (int i = 0; i < count; i++) {
      uint32_t token = events[i].data.u32;
      if (token != NO_QUEUE) service(&guests[token]);
      else if (drain_fd(call_fd(guest_count)) && guests[0].device.status & DRIVER_OK) {
        guests[0].device.pending |= 1;
        signal_fd(guests[0].device.line);
      }
    }
  }
  return 0;
}
int main(int argc, char **argv) {
  if (argc < 3) return 1;
  guest_count = atoi(argv[1]);
  thread_count = atoi(argv[2]);
  guests = calloc(guest_count, sizeof *guests);
  struct thread *threads = calloc(thread_count, sizeof *threads);
  struct slot *slots = slots_of(guest_count);
  for (int t = 0; t < thread_count; t++) threads[t].epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int n = 0; n < guest_count; n++) {
    struct guest *g = &guests[n];
    g->slot = slot_of(slots, n);
    g->request = request_fd(n);
    g->answer = answer_fd(n);
    g->device.line = n == 0 ? line_fd(guest_count) : -1;
    g->device.kick = n == 0 ? kick_fd(guest_count) : -1;
    g->windows[0] = (struct window){ BASE, WINDOW, &g->device };
    g->window_count = 1;
    // By edges, and never read: a signal costs no system call more.
    watch_fd(threads[n % thread_count].epoll, g->request, EPOLLIN | EPOLLET, n);
  }
  watch_fd(threads[0].epoll, call_fd(guest_count), EPOLLIN, NO_QUEUE);
  for (int t = 0; t < thread_count; t++) {
    if (pthread_create(&threads[t].thread, 0, dispatch, &threads[t])) return 1;
  }
  puts("ready");
  fflush(stdout);
  pause();
  return 0;
}
