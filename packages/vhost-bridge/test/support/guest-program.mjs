// A guest in a process of its own. Reads commands, one JSON array a line, and answers each with a
// line; blocks while a transfer waits, as a CPU does. JavaScript, on the driver as it is built: Node 20
// runs no TypeScript.
import { writeSync } from 'node:fs';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { SimulatedGuest } from '@node-vmm/ioreq-eventfd/simulated';
import { VirtioI2cDriver } from '@node-vmm/virtio-driver';

const EEPROM = 0x50;
const LIMIT_MS = 60_000;
const MAX_REPEATED = 10;

const guest = SimulatedGuest.attach(process.argv[2], 3, { timeout: LIMIT_MS });
let driver;

function place() {
  const [device] = guest.machine.devices;
  if (device === undefined) throw new Error('no device in the description');
  return { base: BigInt(device.base), irq: device.irq };
}

/** Writes and reads back. @returns whether the byte was the one written */
function pair(cell, value) {
  driver?.write(EEPROM, Uint8Array.of(cell, value));
  return driver?.writeRead(EEPROM, Uint8Array.of(cell), 1)[0] === value;
}

/** Pairs until each was right: a simulated chip forgets what was written when its daemon dies. */
function pairs(from, count) {
  let repeated = 0;
  for (let i = from; i < from + count; i++) {
    while (!pair(i & 0xff, (i * 7 + 1) & 0xff)) {
      if (++repeated > MAX_REPEATED) throw new Error(`cell ${i} keeps nothing`);
    }
  }
  return { done: count, repeated };
}

function run(command, from, count) {
  switch (command) {
    case 'start':
      driver = new VirtioI2cDriver(guest, { ...place(), timeout: LIMIT_MS });
      return true;
    case 'id':
      return Number(guest.read(place().base + 8n, 4));
    case 'status':
      return driver?.transport.status;
    case 'reset':
      driver?.transport.reset();
      return true;
    case 'pairs':
      return pairs(from, count);
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
