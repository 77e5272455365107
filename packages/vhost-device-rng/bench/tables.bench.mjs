// What a guest's memory table costs its front-end and a guest beside it, from 2 MiB to 1 TiB; and the first
// request in a part of memory that was never touched. One worker thread serves all.
// Run after a build: node packages/vhost-device-rng/bench/tables.bench.mjs
import { fork } from 'node:child_process';
import { once } from 'node:events';
import {
  DaemonProgram,
  FrontEnd,
  GUEST_BASE,
  Guest,
  GuestRing,
  negotiate,
} from '@node-vmm/vhost-user-backend/testing';
import { guestAddress } from '@node-vmm/vm-memory';

const GUESTS = 64;
const SIZES = [2 ** 21, 2 ** 30, 2 ** 40];
/** Regions further away than what one view shows. */
const STEP = 2 ** 27;
const TOUCHES = 200;

const ms = (value) => `${value.toPrecision(3)} ms`;
const at = (values, part) => values.sort((a, b) => a - b)[Math.floor(values.length * part)] ?? NaN;

async function served(path, guest) {
  const frontEnd = new FrontEnd(path);
  await negotiate(frontEnd, guest);
  const ring = new GuestRing(guest);
  ring.setUp(frontEnd);
  await ring.enable(frontEnd);
  return { frontEnd, ring };
}

async function request({ frontEnd, ring }, guestAddr) {
  const start = performance.now();
  ring.driver.add([{ guestAddr: guestAddress(guestAddr), length: 64, writable: true }]);
  ring.submit();
  await ring.collect(frontEnd.poller, 1);
  return performance.now() - start;
}

/** The guests whose tables are measured, in a process of their own. */
async function guests(paths) {
  process.on('message', async (size) => {
    const taken = [];
    const open = [];
    for (const path of paths) {
      const guest = new Guest(size);
      const frontEnd = new FrontEnd(path);
      const start = performance.now();
      await negotiate(frontEnd, guest);
      await frontEnd.ask('VHOST_USER_GET_QUEUE_NUM', undefined);
      taken.push(performance.now() - start);
      open.push({ guest, frontEnd });
    }
    for (const { guest, frontEnd } of open) {
      frontEnd.close();
      guest.close();
    }
    process.send(taken);
  });
}

async function main() {
  const daemon = await DaemonProgram.start(
    {
      main: new URL('../dist/main.js', import.meta.url),
      args: ['--log-level', 'silent', '--workers', '1'],
    },
    GUESTS + 1,
  );
  const paths = Array.from({ length: GUESTS }, (_, i) => daemon.socketPath(i + 1));
  const child = fork(new URL(import.meta.url), paths);
  const beside = await served(daemon.socketPath(0), new Guest());

  let times = [];
  let over = false;
  const load = (async () => {
    while (!over) times.push(await request(beside, GUEST_BASE + 0x10_0000n));
  })();
  await new Promise((resolve) => setTimeout(resolve, 2000));
  const idle = at(times, 0.99);
  console.log(`another guest's requests, alone: p50 ${ms(at(times, 0.5))}, p99 ${ms(idle)}`);
  for (const size of SIZES) {
    times = [];
    child.send(size);
    const [taken] = await once(child, 'message');
    const p99 = at(times, 0.99);
    console.log(
      `${GUESTS} tables of ${String(size / 2 ** 20).padStart(7)} MiB: each ${ms(at(taken, 0.5))}, the slowest ` +
        `${ms(at(taken, 0.9999))}; meanwhile another guest's p99 ${ms(p99)} (${(p99 / idle).toFixed(2)} x)`,
    );
  }
  over = true;
  await load;

  const guest = new Guest(2 ** 40);
  const huge = await served(paths[0], guest);
  const first = [];
  const again = [];
  for (const round of [first, again]) {
    for (let i = 1; i <= TOUCHES; i++) {
      round.push(await request(huge, GUEST_BASE + BigInt(i * STEP)));
    }
  }
  console.log(
    `a request in memory never touched: p50 ${ms(at(first, 0.5))}, p99 ${ms(at(first, 0.99))}; there again: ` +
      `p50 ${ms(at(again, 0.5))}, p99 ${ms(at(again, 0.99))}`,
  );
  child.kill();
  for (const { frontEnd } of [beside, huge]) frontEnd.close();
  await daemon.stop();
}

if (process.send === undefined) await main();
else await guests(process.argv.slice(2));
