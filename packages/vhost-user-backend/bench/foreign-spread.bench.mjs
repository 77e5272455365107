// Requests all over more of a Xen domain's memory than stays mapped: one page of each 2 MiB in turn, pages at
// random, pages in a row, and one page after the other. Pages are a memfd's; what Xen takes for each is waited for,
// so many microseconds (default 2, an estimate for a machine of one's own). Run after a build:
// node packages/vhost-user-backend/bench/foreign-spread.bench.mjs [MICROSECONDS]
import { VhostUserDaemon } from '@node-vmm/vhost-user-backend';
import {
  FakeDomain,
  FrontEnd,
  GUEST_BASE,
  GuestRing,
  mapperOf,
  negotiate,
  Sockets,
} from '@node-vmm/vhost-user-backend/testing';

const ECHO = new URL('../test/fixtures/echo-device.mjs', import.meta.url);
/** REPLY_ACK and XEN_MMAP. */
const PROTOCOL = (1n << 3n) | (1n << 17n);
const MIB = 2 ** 20;
const PAGE = 4096;
const FOREIGN_LIMIT = 16 * MIB;
const CHUNK = 2 * MIB;
/** Of which a ring is in the first chunk. */
const CHUNKS = 56;
const REQUESTS = 3000;
const PAGE_US = Number(process.argv[2] ?? 2);

const sockets = new Sockets();

/** A domain whose pages take time. */
function slowDomain() {
  const domain = new FakeDomain(7, (1 + CHUNKS) * CHUNK);
  const map = mapperOf(domain);
  const spend = (pages) => {
    const until = performance.now() + (pages * PAGE_US) / 1000;
    while (performance.now() < until);
  };
  const mapForeign = async (range) => {
    const pages = await map(range);
    const count = Number(range.length) / PAGE;
    spend(count);
    const vacate = async () => {
      await pages.vacate();
      spend(count);
    };
    return { ...pages, vacate };
  };
  return { domain, mapForeign };
}

/** @returns requests a second, and how many calls and pages were mapped for a request */
async function measured(foreignLimit, offsetOf) {
  const { domain, mapForeign } = slowDomain();
  const daemon = new VhostUserDaemon({ mapForeign, workers: 1, foreignLimit });
  const socketPath = sockets.path();
  const device = await daemon.addDevice({ name: 'echo', module: ECHO, socketPath, options: {} });
  const frontEnd = new FrontEnd(device.socketPath);
  frontEnd.connection.codec.options.xenMmap = true;
  const table = { regions: domain.regions(), fds: domain.fds };
  await negotiate(frontEnd, table, { protocolFeatures: PROTOCOL });
  const ring = new GuestRing(domain.guest, 0, undefined, 64);
  ring.setUp(frontEnd);
  await ring.enable(frontEnd);
  const request = async (i) => {
    const guestAddr = GUEST_BASE + BigInt(CHUNK + offsetOf(i));
    ring.driver.add([
      { guestAddr, length: 4, writable: false },
      { guestAddr: guestAddr + 1024n, length: 4, writable: true },
    ]);
    if (ring.driver.publish()) ring.kick.signal();
    await ring.collect(frontEnd.poller, 1);
  };
  for (let i = 0; i < REQUESTS / 3; i++) await request(i);
  domain.asked.length = 0;
  const start = performance.now();
  for (let i = 0; i < REQUESTS; i++) await request(REQUESTS / 3 + i);
  const rate = (1000 * REQUESTS) / (performance.now() - start);
  const pages = domain.asked.reduce((sum, [, count]) => sum + count, 0);
  const figures = { rate, calls: domain.asked.length / REQUESTS, pages: pages / REQUESTS };
  figures.peak = domain.peak;
  frontEnd.close();
  await daemon.close();
  ring.close();
  domain.close();
  return figures;
}

/** Places at random, of so many pages each: the same ones each time. */
function atRandom(pages) {
  let state = 1;
  const places = Array.from({ length: (4 * REQUESTS) / 3 }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * ((CHUNKS * CHUNK) / PAGE / pages)) * pages * PAGE;
  });
  return (i) => places[Math.floor(i / pages)] + (i % pages) * PAGE;
}

const PATTERNS = [
  ['a page of each 2 MiB in turn', (i) => (i % CHUNKS) * CHUNK],
  ['pages at random', atRandom(1)],
  ['64 pages in a row at random', atRandom(64)],
  ['page after page', (i) => (i % (CHUNKS * (CHUNK / PAGE))) * PAGE],
];
for (const [name, offsetOf] of PATTERNS) {
  const some = await measured(FOREIGN_LIMIT, offsetOf);
  const all = await measured(2 * CHUNKS * CHUNK, offsetOf);
  console.log(
    `  ${name.padEnd(32)} ${Math.round(some.rate)}/s, ${(some.rate / all.rate).toFixed(2)} x of all kept; for a ` +
      `request ${some.calls.toFixed(2)} calls, ${some.pages.toFixed(1)} pages; at most ${(some.peak / MIB).toFixed(1)} MiB`,
  );
}
sockets.close();
