// What a request costs in memory of a Xen domain that is mapped already, beside one in a file's memory: two
// daemons, each with a worker of its own, and one driver that waits for neither by sleeping. In turns, of which the
// median counts, by the clock and by the processor time of all threads but the driver's, which other programs on the
// machine change less. Run after a build: node packages/vhost-user-backend/bench/foreign-file.bench.mjs
import { readdirSync, readFileSync } from 'node:fs';
import { VhostUserDaemon } from '@node-vmm/vhost-user-backend';
import {
  FakeDomain,
  FrontEnd,
  GUEST_BASE,
  Guest,
  GuestRing,
  mapperOf,
  negotiate,
  Sockets,
} from '@node-vmm/vhost-user-backend/testing';

const ECHO = new URL('../test/fixtures/echo-device.mjs', import.meta.url);
/** REPLY_ACK and XEN_MMAP. */
const PROTOCOL = (1n << 3n) | (1n << 17n);
const CHUNK = 2 ** 21;
const SIZE = 8 * CHUNK;
const TURNS = 8;
const TURN_MS = 250;
/** How deep, and in how many chunks a request has its parts. */
const CASES = [
  [1, 1],
  [1, 2],
  [16, 1],
  [16, 2],
];

const sockets = new Sockets();
const domain = new FakeDomain(7, SIZE);
const inFile = new Guest(SIZE);
const open = [];

async function connect(name, guest, from) {
  const daemon = new VhostUserDaemon({ mapForeign: mapperOf(domain), workers: 1 });
  const device = await daemon.addDevice({
    name,
    module: ECHO,
    socketPath: sockets.path(),
    options: {},
  });
  const frontEnd = new FrontEnd(device.socketPath);
  const isXen = from === domain;
  frontEnd.connection.codec.options.xenMmap = isXen;
  const table = isXen ? { regions: domain.regions(), fds: domain.fds } : guest;
  await negotiate(frontEnd, table, { protocolFeatures: isXen ? PROTOCOL : 1n << 3n });
  const ring = new GuestRing(guest, 0, undefined, 64);
  ring.setUp(frontEnd);
  await ring.enable(frontEnd);
  open.push(async () => {
    frontEnd.close();
    await daemon.close();
    ring.close();
  });
  return { guest, ring };
}

function round({ ring }, depth, buffers) {
  const { driver } = ring;
  for (let i = 0; i < depth; i++) driver.add(buffers[i]);
  if (driver.publish()) ring.kick.signal();
  for (let left = depth; left > 0; ) {
    if (driver.poll() !== undefined) left--;
  }
  ring.call.drain();
}

const place = (chunks) =>
  Array.from({ length: 16 }, (_, i) => {
    const at = GUEST_BASE + BigInt(2 * CHUNK + i * 8192);
    const into = chunks === 1 ? at + 4096n : at + BigInt(CHUNK);
    return [
      { guestAddr: at, length: 4, writable: false },
      { guestAddr: into, length: 4, writable: true },
    ];
  });

/** Processor time of all threads of this process but this one, nanoseconds. */
function othersTime() {
  let sum = 0;
  for (const thread of readdirSync('/proc/self/task')) {
    if (Number(thread) === process.pid) continue;
    sum += Number(readFileSync(`/proc/self/task/${thread}/schedstat`, 'latin1').split(' ')[0]);
  }
  return sum;
}

/** @returns requests a second, and nanoseconds of processor time for each */
async function measured(device, depth, buffers, ms) {
  const before = othersTime();
  const start = performance.now();
  let count = 0;
  for (; performance.now() - start < ms; count += depth) {
    round(device, depth, buffers);
    if (count % 1024 < depth) await undefined;
  }
  const rate = (1000 * count) / (performance.now() - start);
  return { rate, time: (othersTime() - before) / count };
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

const file = await connect('file', inFile, inFile);
const demand = await connect('demand', domain.guest, domain);
for (const { guest } of [file, demand]) {
  for (const [out] of place(1)) guest.memory.write(out.guestAddr, Uint8Array.of(1, 2, 3, 4));
}
// What is not mapped yet comes by this thread's loop.
for (const chunks of [1, 2]) {
  for (const device of [file, demand]) {
    device.ring.driver.add(place(chunks)[0]);
    if (device.ring.driver.publish()) device.ring.kick.signal();
    while (device.ring.driver.poll() === undefined)
      await new Promise((done) => setTimeout(done, 5));
    device.ring.call.drain();
  }
}
for (const [depth, chunks] of CASES) {
  for (const device of [file, demand]) await measured(device, depth, place(chunks), 2 * TURN_MS);
}
for (const [depth, chunks] of CASES) {
  const buffers = place(chunks);
  const sums = { file: [], demand: [], rates: [], times: [] };
  for (let turn = 0; turn < TURNS; turn++) {
    const one = {};
    for (const name of turn % 2 === 0 ? ['file', 'demand'] : ['demand', 'file']) {
      one[name] = await measured(name === 'file' ? file : demand, depth, buffers, TURN_MS);
      sums[name].push(one[name]);
    }
    sums.rates.push(one.demand.rate / one.file.rate);
    sums.times.push(one.demand.time / one.file.time);
  }
  const shown = (name) => {
    const [rate, time] = ['rate', 'time'].map((what) => median(sums[name].map((one) => one[what])));
    return `${Math.round(rate)}/s and ${Math.round(time)} ns`;
  };
  const [rates, times] = [sums.rates, sums.times].map((all) => median(all).toFixed(2));
  const name = `depth ${depth}, parts in ${chunks === 1 ? 'one chunk' : 'two chunks'}`;
  console.log(
    `  ${name.padEnd(32)} file ${shown('file')}, foreign ${shown('demand')}: ${rates} x, processor time ${times} x`,
  );
}
for (const close of open) await close();
domain.close();
inFile.close();
sockets.close();
