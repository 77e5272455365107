// What it takes that guests give memory back, which devices of theirs have mapped on demand: by the number of
// devices of the guest in one daemon, calls that map and processor time of front-ends and daemon for each
// time that a guest says so; and what another guest notices. Pages are a memfd's, mapped at once: what Xen
// takes for a call comes on top. Run after a build: node packages/vhost-user-backend/bench/foreign.bench.mjs
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
const CHUNK = 2 ** 21;
const ROUNDS = 100;
const REQUESTS = 500;

const sockets = new Sockets();
const [guest, other] = [new FakeDomain(7, 64 * CHUNK), new FakeDomain(8, 64 * CHUNK)];
const daemon = new VhostUserDaemon({ mapForeign: mapperOf(guest, other), workers: 2 });
const frontEnds = [];
const devices = [];

async function connect(domain, place) {
  const device = await daemon.addDevice({
    name: `echo${place}-${domain.domid}`,
    module: ECHO,
    socketPath: sockets.path(),
    options: {},
  });
  const frontEnd = new FrontEnd(device.socketPath);
  frontEnds.push(frontEnd);
  frontEnd.connection.codec.options.xenMmap = true;
  const regions = domain.regions();
  await negotiate(frontEnd, { regions, fds: domain.fds }, { protocolFeatures: PROTOCOL });
  const ring = new GuestRing(
    domain.guest,
    0,
    undefined,
    64,
    0,
    GUEST_BASE + BigInt(place * 0x4000),
  );
  ring.setUp(frontEnd);
  await ring.enable(frontEnd);
  const tell = () => frontEnd.tell('VHOST_USER_SET_MEM_TABLE', regions, [...domain.fds]);
  return { domain, frontEnd, ring, tell };
}

/** One request with its data at an offset of guest memory. @returns microseconds */
async function request({ domain, frontEnd, ring }, offset) {
  const start = performance.now();
  const guestAddr = GUEST_BASE + BigInt(offset);
  domain.guest.memory.write(guestAddr, Uint8Array.of(1, 2, 3, 4));
  ring.driver.add([
    { guestAddr, length: 4, writable: false },
    { guestAddr: guestAddr + 1024n, length: 4, writable: true },
  ]);
  if (ring.driver.publish()) ring.kick.signal();
  await ring.collect(frontEnd.poller, 1);
  return (performance.now() - start) * 1000;
}

async function measured(device, offset) {
  const times = [];
  for (let i = 0; i < REQUESTS; i++) times.push(await request(device, offset(i)));
  return times.sort((a, b) => a - b);
}

const useAll = () => Promise.all(devices.map((device, i) => request(device, (2 + i) * CHUNK)));

/** What it costs that the guest gives memory back once, and what `between` takes besides. */
async function givenBack(between) {
  let [cpu, wall] = [0, 0];
  guest.asked.length = 0;
  for (let i = 0; i < ROUNDS; i++) {
    const start = performance.now();
    const before = process.cpuUsage();
    await Promise.all(devices.map(({ tell }) => tell()));
    await between();
    const { user, system } = process.cpuUsage(before);
    wall += performance.now() - start;
    cpu += (user + system) / 1000;
  }
  const maps = (guest.asked.length / ROUNDS).toFixed(1);
  const [ms, all] = [cpu, wall].map((sum) => (sum / ROUNDS).toFixed(2));
  return `${ms} ms of processor time, ${all} ms, ${maps} calls that map`;
}

const at = (times, part) => Math.round(times[Math.floor(part * (times.length - 1))]);
const shown = (times) => `median ${at(times, 0.5)} us, p99 ${at(times, 0.99)} us`;
const perSecond = (times) =>
  Math.round(1e6 / (times.reduce((sum, one) => sum + one, 0) / REQUESTS));
const report = (name, text) => console.log(`  ${name.padEnd(52)} ${text}`);

const neighbour = await connect(other, 0);
await measured(neighbour, () => 2 * CHUNK);
for (const count of [1, 4, 11]) {
  while (devices.length < count) devices.push(await connect(guest, devices.length));
  for (const [i, device] of devices.entries()) await request(device, (2 + i) * CHUNK);
  const named = `memory given back, devices of the guest: ${count}`;
  report(named, await givenBack(async () => undefined));
  report(`${named}, each used`, await givenBack(useAll));
}

const [device] = devices;
const touched = await measured(device, () => 20 * CHUNK);
report('a request, all of it mapped', `${shown(touched)}, ${perSecond(touched)}/s`);
const first = await measured(device, (i) => (20 + (i % 40)) * CHUNK);
report('a request that touches 2 MiB first', shown(first));
report("another guest's request", shown(await measured(neighbour, () => 2 * CHUNK)));

/** @returns what is measured while something else goes on */
async function during(work, measure) {
  let going = true;
  const done = (async () => {
    for (let i = 0; going; i++) await work(i);
  })();
  const result = await measure();
  going = false;
  await done;
  return result;
}
const touching = (i) => request(device, (20 + (i % 40)) * CHUNK);
const giving = () => Promise.all(devices.map(({ tell }) => tell()));
const others = () => measured(neighbour, () => 2 * CHUNK);
report('  while this one touches 2 MiB each time', shown(await during(touching, others)));
report('  while this one gives memory back without end', shown(await during(giving, others)));

for (const frontEnd of frontEnds) frontEnd.close();
await daemon.close();
for (const { ring } of [...devices, neighbour]) ring.close();
guest.close();
other.close();
sockets.close();
