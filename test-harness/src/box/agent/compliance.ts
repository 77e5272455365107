// Runs in dom0: the compliance suites of xen-sys, xen-store and vm-device against the real thing. Prints
// one JSON line per case. Guest accesses are asked for by files, which the test carries out in the guest.
//
// node compliance.js <domid> <arm64|x86_64> <first frame of RAM> <frame that is a hole> <window> <irq>
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { XenVm } from '@node-vmm/ioreq-eventfd/xen';
import { vmComplianceCases } from '@node-vmm/vm-device/testing';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { XENBUS_DEVICES, XenStore } from '@node-vmm/xen-store';
import { xenStoreComplianceCases } from '@node-vmm/xen-store/testing';
import { asDomId, XenHost } from '@node-vmm/xen-sys';
import { xenComplianceCases } from '@node-vmm/xen-sys/testing';

const CASE_LIMIT_MS = 60_000;
const ROOT = '/node-vmm-test';

let sequence = 0;

/** Has the guest run `devmem` and waits for what it printed. */
async function askGuest(command: string): Promise<string> {
  const number = ++sequence;
  writeFileSync('/tmp/request.new', command);
  renameSync('/tmp/request.new', `/tmp/request-${number}`);
  for (;;) {
    const path = `/tmp/answer-${number}`;
    const answer = existsSync(path) ? readFileSync(path, 'utf8').trim() : '';
    if (answer !== '') return answer;
    await sleep(20);
  }
}

async function report(suite: string, name: string, run: () => Promise<void> | void): Promise<void> {
  let error: string | undefined;
  const limit = sleep(CASE_LIMIT_MS, undefined, { ref: false }).then(() => {
    throw new Error(`not finished in ${CASE_LIMIT_MS} ms`);
  });
  try {
    await Promise.race([run(), limit]);
  } catch (caught) {
    error = caught instanceof Error ? (caught.stack ?? caught.message) : String(caught);
  }
  limit.catch(() => undefined);
  process.stdout.write(`${JSON.stringify({ suite, name, error })}\n`);
}

async function storeSuite(suite: string, path: string | undefined): Promise<void> {
  const open = (): XenStore => XenStore.open(path === undefined ? {} : { path });
  for (const test of xenStoreComplianceCases) {
    const store = open();
    const other = open();
    await store.mkdir(ROOT);
    await report(suite, `${test.section}: ${test.name}`, () =>
      test.run({ store, other, root: ROOT }),
    );
    await store.rm(ROOT);
    store.close();
    other.close();
  }
}

/** A guest that runs one `devmem` after the other: the cases that need more stay with the fakes. */
async function vmSuite(): Promise<void> {
  const { read, write, mmio: base, irq } = context;
  const irqs = arch === 'x86_64' ? 'isa' : 'spi';
  const cannot = (): never => {
    throw new Error('no such ability');
  };
  for (const test of vmComplianceCases) {
    if (test.needs !== undefined) continue;
    const poller = new MainPoller();
    const vm = XenVm.create({ xen, memory: cannot, poller }, { domid, notification: 'user', irqs });
    const subject = {
      vm,
      guest: { read, write, interrupt: cannot, takeInterrupt: cannot },
      base,
      ...(irqs === 'isa' ? { port: 0x600n } : {}),
      irq,
      irqSharing: true,
      vcpus: 1,
      kernelAssisted: false,
      interruptsAssisted: false,
    };
    await report('vm-device', test.name, () => test.run(subject));
    vm.close();
    poller.close();
  }
}

const [id, arch = '', ram = '', hole = '', mmio = '', irq = ''] = process.argv.slice(2);
const domid = asDomId(Number(id));
const xen = XenHost.open();
const context = {
  xen,
  arch: arch as 'arm64' | 'x86_64',
  domid,
  missingDomid: asDomId(4000),
  ram: { first: BigInt(ram), count: 4 },
  hole: BigInt(hole),
  mmio: BigInt(mmio),
  irq: Number(irq),
  read: async (address: bigint, size: number) =>
    BigInt(await askGuest(`devmem 0x${address.toString(16)} ${size * 8}`)),
  write: async (address: bigint, size: number, value: bigint) => {
    await askGuest(`devmem 0x${address.toString(16)} ${size * 8} ${value} && echo 0`);
  },
};
for (const test of xenComplianceCases) {
  const write = (address: bigint, value: number): Promise<void> =>
    context.write(address, 4, BigInt(value));
  await report('xen-sys', `${test.section}: ${test.name}`, () => test.run({ ...context, write }));
}
await vmSuite();
await storeSuite('xen-store over the socket', '/run/xenstored/socket');
await storeSuite('xen-store over xenbus', XENBUS_DEVICES[0]);
xen.close();
process.stdout.write('{"done":true}\n');
