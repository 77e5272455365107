// A guest that uses a disk, in a process of its own, as `guest-program.mjs`: one request at a time, a sector each.
import { writeSync } from 'node:fs';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { SimulatedGuest } from '@node-vmm/ioreq-eventfd/simulated';
import { featureWord, VIRTIO_F_VERSION_1, VIRTIO_ID_BLOCK } from '@node-vmm/virtio-bindings';
import { DriverQueue, GuestHeap, MmioDriverTransport } from '@node-vmm/virtio-driver';

const LIMIT_MS = 60_000;
/** VIRTIO 1.3, section 5.2.6. */
const [VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, SECTOR] = [0, 1, 512];
const UNANSWERED = 0xff;

const guest = SimulatedGuest.attach(process.argv[2], 3, { timeout: LIMIT_MS });
const { memory } = guest;
const heap = new GuestHeap(memory);
const [device] = guest.machine.devices;
const { irq } = device;
let transport;
let queue;
let header;
let data;
let status;

function start() {
  transport = MmioDriverTransport.probe(guest, BigInt(device.base), VIRTIO_ID_BLOCK);
  const features = transport.negotiate(0n, featureWord(VIRTIO_F_VERSION_1));
  const place = { index: 0, irq, features };
  const options = { timeout: LIMIT_MS };
  queue = new DriverQueue({ platform: guest, transport, heap }, place, options);
  header = heap.allocate(16);
  data = heap.allocate(SECTOR);
  status = heap.allocate(1);
  transport.driverOk();
  return true;
}

function request(type, sector) {
  memory.writeU32(header, type);
  memory.writeU32(header + 4n, 0);
  memory.writeU64(header + 8n, BigInt(sector));
  memory.writeU8(status, UNANSWERED);
  queue.checkIdle();
  queue.add([
    { guestAddr: header, length: 16, writable: false },
    { guestAddr: data, length: SECTOR, writable: type === VIRTIO_BLK_T_IN },
    { guestAddr: status, length: 1, writable: true },
  ]);
  queue.run(() => undefined);
  const answer = memory.readU8(status);
  if (answer !== 0) throw new Error(`sector ${sector}: status ${answer}`);
}

/** @returns the value of all of a sector's bytes */
function read(sector) {
  request(VIRTIO_BLK_T_IN, sector);
  const bytes = new Uint8Array(SECTOR);
  memory.read(data, bytes);
  if (bytes.some((byte) => byte !== bytes[0])) throw new Error(`sector ${sector} is mixed`);
  return bytes[0];
}

function write(sector, value) {
  memory.write(data, new Uint8Array(SECTOR).fill(value));
  request(VIRTIO_BLK_T_OUT, sector);
  return true;
}

function run(command, first, second) {
  switch (command) {
    case 'start':
      return start();
    case 'capacity':
      return Number(transport.readRegister(0x100));
    case 'read':
      return read(first);
    case 'write':
      return write(first, second);
    default:
      return `unknown: ${command}`;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const [command, first = 0, second = 0] = JSON.parse(line);
  let answer;
  try {
    answer = run(command, first, second);
  } catch (error) {
    answer = String(error);
  }
  writeSync(1, `${JSON.stringify(answer)}\n`);
}
guest.close();
