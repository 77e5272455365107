import { deepEqual, equal } from 'node:assert/strict';
import type { BusHandler } from '../bus-handler.ts';
import { codeOf, LENGTH, RecordingHandler, type VmComplianceCase } from './compliance-case.ts';

const section = 'windows';

const FAILING: BusHandler = {
  read: () => {
    throw new Error('handler fails');
  },
  write: () => Promise.reject(new Error('handler fails')),
};

export const windowCases: readonly VmComplianceCase[] = [
  {
    section,
    name: 'hands accesses to the handler of the window',
    async run({ vm, guest, base }) {
      const handler = new RecordingHandler();
      vm.map({ space: 'memory', base, length: LENGTH }, handler);
      equal(await guest.read(base + 4n, 4), 0x5566_7788n);
      equal(await guest.read(base + 0x101n, 1), 0x88n);
      equal(await guest.read(base + 0x100n, 8), 0x1122_3344_5566_7788n);
      await guest.write(base + 0x70n, 4, 0xf00d_0000n);
      await guest.write(base + 0x1fen, 2, 0xffffn);
      deepEqual(handler.accesses, [
        'read 4/4',
        'read 257/1',
        'read 256/8',
        'write 112/4=4027383808',
        'write 510/2=65535',
      ]);
    },
  },
  {
    section,
    name: 'serves every vCPU',
    needs: 'vcpus',
    async run({ vm, guest, base, vcpus }) {
      const handler = new RecordingHandler();
      vm.map({ space: 'memory', base, length: LENGTH }, handler);
      await Promise.all(
        Array.from({ length: vcpus }, (_, vcpu) => guest.write(base, 4, BigInt(vcpu), { vcpu })),
      );
      equal(handler.accesses.length, vcpus);
    },
  },
  {
    section,
    name: 'answers a handler that fails with all ones',
    async run({ vm, guest, base }) {
      vm.map({ space: 'memory', base, length: LENGTH }, FAILING);
      equal(await guest.read(base, 4), 0xffff_ffffn);
      await guest.write(base, 4, 1n);
      equal(await guest.read(base, 2), 0xffffn);
    },
  },
  {
    section,
    name: 'holds the answer back until the handler lets go',
    needs: 'vcpus',
    async run({ vm, guest, base }) {
      const handler = new RecordingHandler();
      vm.map({ space: 'memory', base, length: LENGTH }, handler);
      let release: () => void = () => undefined;
      handler.held = new Promise((resolve) => {
        release = resolve;
      });
      let answered = false;
      const write = guest.write(base, 4, 1n).then(() => {
        answered = true;
      });
      await handler.accessed();
      await guest.read(base, 4, { vcpu: 1 });
      equal(answered, false);
      release();
      await write;
      equal(answered, true);
    },
  },
  {
    section,
    name: 'holds accesses back until the handler is ready',
    async run({ vm, guest, base }) {
      let ready: () => void = () => undefined;
      const handler = Object.assign(new RecordingHandler(), {
        ready: new Promise<void>((resolve) => {
          ready = resolve;
        }) as Promise<void> | undefined,
      });
      vm.map({ space: 'memory', base, length: LENGTH }, handler);
      const read = guest.read(base, 1);
      await new Promise(setImmediate);
      await new Promise(setImmediate);
      deepEqual(handler.accesses, []);
      handler.ready = undefined;
      ready();
      equal(await read, 0x88n);
    },
  },
  {
    section,
    name: 'refuses windows that overlap, and takes one that was given back',
    async run({ vm, base }) {
      const handler = new RecordingHandler();
      const map = (from: bigint, length: number): unknown =>
        codeOf(() => vm.map({ space: 'memory', base: from, length }, handler));
      const first = vm.map({ space: 'memory', base, length: LENGTH }, handler);
      equal(map(base + 0x1ffn, 1), 'RANGE_IN_USE');
      equal(map(base - 1n, 0x1000), 'RANGE_IN_USE');
      equal(map(base, 0), 'BAD_RANGE');
      equal(map(1n << 64n, 8), 'BAD_RANGE');
      equal(map(base + 0x200n, LENGTH), undefined);
      first.close();
      first.close();
      equal(map(base, LENGTH), undefined);
    },
  },
];
