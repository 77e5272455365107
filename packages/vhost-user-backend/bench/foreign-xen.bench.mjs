// What memory on demand costs on real Xen: a first touch for its own ring and for another guest, and
// requests a second beside the same daemon with memory that is mapped whole. Runs in a control domain, with two
// guests that do nothing, of which four pages each are written to:
//
// node foreign-xen.bench.mjs <domid> <other domid> <address of RAM> <bytes of RAM> <address of four unused pages>
import { VhostUserDaemon } from '@node-vmm/vhost-user-backend';
import {
  FrontEnd,
  GUEST_BASE,
  Guest,
  GuestRing,
  negotiate,
  Sockets,
  USER_BASE,
} from '@node-vmm/vhost-user-backend/testing';
import { GuestMemoryXen, mapForeign, XEN_MMAP_FOREIGN } from '@node-vmm/vm-memory/xen';

const ECHO = new URL('../test/fixtures/echo-device.mjs', import.meta.url);
/** REPLY_ACK and XEN_MMAP. */
const PROTOCOL = (1n << 3n) | (1n << 17n);
const CHUNK = 2 ** 21;
/** What is mapped at a touch where chunks would go again before they are of use, and how many a chunk has. */
const PART = 2 ** 16;
const PARTS = CHUNK / PART;
const ROUNDS = 3;
const REQUESTS = 300;
/** In the four pages: the ring, and behind it the beginning of each request and the answers. */
const [OUT, INTO, UNUSED] = [0x2000n, 0x3000n, 0x4000];
/** Chunks in which guests of x86 have no holes, and none of ours writes. */
const FIRST = 8;

const [first, second, base, size, unused] = process.argv.slice(2).map(Number);
if ([first, second, base, size, unused].some((value) => !Number.isSafeInteger(value))) {
  console.error(
    'Cannot measure: usage: foreign-xen.bench.mjs DOMID DOMID RAM BYTES UNUSED, see the head of the file',
  );
  process.exit(2);
}
const chunks = Math.floor((unused - base) / CHUNK) - FIRST;

const sockets = new Sockets();
const daemon = new VhostUserDaemon({ mapForeign, workers: 2 });
/** Keeps all of a guest that was touched: mapped whole, by and by. */
const roomy = new VhostUserDaemon({ mapForeign, workers: 2, foreignLimit: 2 * size });
const open = [];

/** A domain as a front-end sees it: four pages of it, and a table of all its memory. */
function xenGuest(domid) {
  const ranges = [{ guestAddr: BigInt(unused), length: UNUSED }];
  const memory = GuestMemoryXen.map({ domid, ranges });
  const at = BigInt(base);
  const xen = { mmapFlags: XEN_MMAP_FOREIGN, domid };
  const userAddr = USER_BASE + at - GUEST_BASE;
  const regions = [{ guestAddr: at, size: BigInt(size), userAddr, mmapOffset: 0n, xen }];
  return { memory, regions, fds: [memory.sharedRegions[0].fd], start: at, own: BigInt(unused) };
}

/** A guest in a file, which is mapped whole when it is told of. */
function fileGuest() {
  const guest = new Guest(size);
  const { memory, regions, fds } = guest;
  return { memory, regions, fds, start: GUEST_BASE, own: GUEST_BASE + BigInt(unused - base) };
}

async function connect(served, guest, name) {
  // Whatever was there, be it the ring of the one before.
  guest.memory.write(guest.own, new Uint8Array(UNUSED));
  const socketPath = sockets.path();
  const device = await served.addDevice({ name, module: ECHO, socketPath, options: {} });
  const frontEnd = new FrontEnd(device.socketPath);
  const isXen = guest.regions[0].xen !== undefined;
  frontEnd.connection.codec.options.xenMmap = isXen;
  const protocolFeatures = isXen ? PROTOCOL : 1n << 3n;
  await negotiate(frontEnd, guest, { protocolFeatures });
  const ring = new GuestRing(guest, 0, undefined, 64, 0, guest.own);
  ring.setUp(frontEnd);
  const refused = await ring.enable(frontEnd);
  if (refused !== 0) throw new Error(`Cannot measure: ${name} was refused`);
  guest.memory.write(guest.own + OUT, Uint8Array.of(1, 2, 3, 4));
  open.push(() => frontEnd.close());
  return { guest, frontEnd, ring };
}

/** One request, of which a part is read from a chunk: each time around from another place in it. @returns microseconds */
async function request({ guest, frontEnd, ring }, chunk) {
  const start = performance.now();
  const { start: ram, own } = guest;
  const place = (FIRST + (chunk % chunks)) * CHUNK + (Math.floor(chunk / chunks) % PARTS) * PART;
  ring.driver.add([
    { guestAddr: own + OUT, length: 4, writable: false },
    { guestAddr: ram + BigInt(place), length: 4, writable: false },
    { guestAddr: own + INTO, length: 8, writable: true },
  ]);
  if (ring.driver.publish()) ring.kick.signal();
  const [written] = await ring.collect(frontEnd.poller, 1);
  if (written !== 8) throw new Error(`Cannot measure: a request in chunk ${chunk} was not served`);
  return (performance.now() - start) * 1000;
}

async function measured(device, chunk) {
  const times = [];
  for (let i = 0; i < REQUESTS; i++) times.push(await request(device, chunk(i)));
  return times;
}

/** @returns what is measured while something else goes on */
async function during(work, measure) {
  let going = true;
  const done = (async () => {
    for (let i = 0; going; i++) await work(i);
  })();
  try {
    return await measure();
  } finally {
    going = false;
    await done;
  }
}

const at = (times, part) => [...times].sort((a, b) => a - b)[Math.floor(part * (times.length - 1))];
const rate = (times) => (1e6 * times.length) / times.reduce((sum, one) => sum + one, 0);

const [guestA, guestB] = [xenGuest(first), xenGuest(second)];
const demand = await connect(daemon, guestA, 'on-demand');
const neighbour = await connect(daemon, guestB, 'neighbour');
const file = await connect(roomy, fileGuest(), 'file');
const WARM = () => 0;
const EACH = (i) => i;

async function foreign() {
  const warm = await measured(demand, WARM);
  const touch = await measured(demand, EACH);
  const alone = await measured(neighbour, WARM);
  const beside = await during(
    (i) => request(demand, i),
    () => measured(neighbour, WARM),
  );
  const busy = await during(
    () => request(demand, 0),
    () => measured(neighbour, WARM),
  );
  return { warm, touch, alone, busy, beside };
}

const sums = { warm: [], touch: [], alone: [], busy: [], beside: [], file: [], fileAll: [] };
for (const device of [demand, neighbour, file]) await measured(device, WARM);
for (let round = 0; round < ROUNDS; round++) {
  const figures = await foreign();
  figures.file = await measured(file, WARM);
  figures.fileAll = await measured(file, EACH);
  for (const [name, times] of Object.entries(figures)) sums[name].push(...times);
}
demand.frontEnd.close();
await daemon.close();
const kept = await connect(roomy, guestA, 'kept');
for (let i = 0; i < chunks; i++) await request(kept, i);
const keptAll = [];
for (let round = 0; round < ROUNDS; round++) keptAll.push(...(await measured(kept, EACH)));
sums.keptAll = keptAll;

const ROWS = [
  ['own ring: request in mapped memory', 'warm', 'file'],
  ['own ring: request that touches memory first', 'touch', 'warm'],
  ["other guest's request, alone", 'alone', 'alone'],
  ['  beside requests in mapped memory', 'busy', 'alone'],
  ['  beside first touches', 'beside', 'busy'],
  ['mapped whole, a file', 'file', 'file'],
  ['mapped whole, a file, all over it', 'fileAll', 'fileAll'],
  ['foreign, all of it kept, all over it', 'keptAll', 'fileAll'],
  ['foreign, 16 MiB kept, all over it', 'touch', 'fileAll'],
];
const cell = (value, width, digits = 0) => value.toFixed(digits).padStart(width);
console.log(`${''.padEnd(46)} median us    p99 us  ratio p99  requests/s  ratio   to`);
for (const [name, own, to] of ROWS) {
  const [times, other] = [sums[own], sums[to]];
  const p99 = at(times, 0.99);
  console.log(
    `${name.padEnd(46)} ${cell(at(times, 0.5), 9)} ${cell(p99, 9)} ${cell(p99 / at(other, 0.99), 10, 2)} ` +
      `${cell(rate(times), 11)} ${cell(rate(times) / rate(other), 6, 2)}   ${to}`,
  );
}
const figures = Object.fromEntries(
  Object.entries(sums).map(([name, times]) => [
    name,
    { medianUs: at(times, 0.5), p99Us: at(times, 0.99), perSecond: rate(times) },
  ]),
);
console.log(JSON.stringify({ chunks, figures }));

for (const close of open) close();
await roomy.close();
for (const { ring } of [demand, neighbour, file, kept]) ring.close();
for (const { guest } of [demand, neighbour, file]) guest.memory.close();
sockets.close();
