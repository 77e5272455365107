// A guest that keeps many requests under way at once, in a process of its own, as `guest-program.mjs`.
import { writeSync } from 'node:fs';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { SimulatedGuest } from '@node-vmm/ioreq-eventfd/simulated';
import {
  featureWord,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
} from '@node-vmm/virtio-bindings';
import { DriverQueue, GuestHeap, MmioDriverTransport } from '@node-vmm/virtio-driver';

const LIMIT_MS = 60_000;
const DEPTH = 24;
const SLOT = 16;

const guest = SimulatedGuest.attach(process.argv[2], 3, { timeout: LIMIT_MS });
const { memory } = guest;
const heap = new GuestHeap(memory);
const [device] = guest.machine.devices;
const base = BigInt(device.base);
const { irq } = device;
let transport;
let queue;
let slots;
let free = [];
/** Slot and number of each request that is under way, by head. */
const pending = new Map();

function start() {
  transport = MmioDriverTransport.probe(guest, base);
  const wanted = featureWord(VIRTIO_RING_F_EVENT_IDX);
  const features = transport.negotiate(wanted, featureWord(VIRTIO_F_VERSION_1));
  queue = new DriverQueue({ platform: guest, transport, heap }, { index: 0, irq, features });
  slots = heap.allocate(DEPTH * SLOT);
  free = Array.from({ length: DEPTH }, (_, i) => i);
  pending.clear();
  transport.driverOk();
  return true;
}

function send(number, last = false) {
  const slot = free.pop();
  const at = slots + BigInt(slot * SLOT);
  memory.writeU64(at, BigInt(number) | (last ? 1n << 56n : 0n));
  memory.writeU64(at + 8n, 0xffff_ffff_ffff_ffffn);
  const head = queue.add([
    { guestAddr: at, length: 8, writable: false },
    { guestAddr: at + 8n, length: 8, writable: true },
  ]);
  pending.set(head, { slot, number });
}

function publish() {
  if (queue.ring.publish()) transport.notify(0);
}

/** Sends `count` requests and takes them back, each once and with its own answer. */
function load(from, count) {
  let sent = 0;
  let done = 0;
  let overtaken = 0;
  let newest = -1;
  while (done < count) {
    while (sent < count && free.length > 0) send(from + sent++);
    publish();
    let used = queue.ring.poll();
    if (used === undefined && !guest.waitInterrupt(irq, LIMIT_MS)) throw new Error('no interrupt');
    transport.acknowledgeInterrupt();
    // Throws at a request that was returned before.
    for (used ??= queue.ring.poll(); used !== undefined; used = queue.ring.poll()) {
      const { slot, number } = pending.get(used.head);
      pending.delete(used.head);
      const answer = memory.readU64(slots + BigInt(slot * SLOT + 8));
      if (used.written !== 8 || answer !== BigInt(number))
        throw new Error(`wrong answer ${answer}`);
      if (number < newest) overtaken++;
      newest = Math.max(newest, number);
      free.push(slot);
      done++;
    }
  }
  return { done, overtaken };
}

function run(command, from, count) {
  switch (command) {
    case 'start':
      return start();
    case 'status':
      return transport.status;
    case 'load':
      return load(from, count);
    case 'hold':
      // Never returned: what is unfinished when the back-end goes.
      send(from, true);
      publish();
      return true;
    default:
      return `unknown: ${command}`;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const [command, from = 0, count = 0] = JSON.parse(line);
  let answer;
  try {
    answer = run(command, from, count);
  } catch (error) {
    answer = String(error);
  }
  writeSync(1, `${JSON.stringify(answer)}\n`);
}
guest.close();
