import { equal } from 'node:assert/strict';
import { hasProtocolFeature } from '@node-vmm/vhost-user';
import { GUEST_BASE, USER_BASE } from '../guest.ts';
import { addProbes } from './rings.ts';
import { alive, connect, type DeviceCase, leavesNothing, probe } from './subject.ts';

/** Guest memory that is exchanged. */
export const memoryCases: readonly DeviceCase[] = [
  {
    section: 'VHOST_USER_SET_MEM_TABLE',
    name: 'a memory table is exchanged while requests are in flight, and all are answered',
    run: (subject) =>
      leavesNothing(subject, async () => {
        await using bench = await connect(subject);
        const { regions, fds } = bench.guest;
        const queue = bench.queue(subject.probe.queue);
        for (let round = 0; round < 20; round++) {
          const answers = addProbes(bench, subject, 8);
          queue.publish();
          const swap = bench.frontend.tell('VHOST_USER_SET_MEM_TABLE', regions, fds);
          for (const answer of await Promise.all(answers)) subject.probe.check?.(answer);
          equal(await swap, 0);
        }
      }),
  },
  {
    section: 'VHOST_USER_SET_MEM_TABLE',
    name: 'a table without the rings stops none of the daemon, and is put right by the next',
    run: (subject) =>
      leavesNothing(subject, async () => {
        await using bench = await connect(subject);
        const { regions, fds } = bench.guest;
        const elsewhere = regions.map((region) => ({
          ...region,
          userAddr: region.userAddr + (1n << 40n),
        }));
        const queue = bench.queue(subject.probe.queue);
        addProbes(bench, subject, 1);
        const tell = bench.frontend.tell('VHOST_USER_SET_MEM_TABLE', elsewhere, fds);
        await tell.catch(() => 1);
        queue.publish();
        if (!(await alive(bench))) return;
        equal(await bench.frontend.tell('VHOST_USER_SET_MEM_TABLE', regions, fds), 0);
        await queue.restart();
        await probe(bench, subject);
      }),
  },
  {
    section: 'VHOST_USER_ADD_MEM_REG',
    name: 'regions come and go while the others are used',
    run: (subject) =>
      leavesNothing(subject, async () => {
        await using bench = await connect(subject);
        const { frontend, protocolFeatures, guest } = bench;
        const name = 'VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS';
        if (!hasProtocolFeature(protocolFeatures, name)) return;
        const other = {
          guestAddr: GUEST_BASE + (1n << 40n),
          userAddr: USER_BASE + (1n << 40n),
          size: BigInt(guest.size),
          mmapOffset: 0n,
        };
        for (let round = 0; round < 10; round++) {
          const answers = addProbes(bench, subject, 4);
          bench.queue(subject.probe.queue).publish();
          equal(await frontend.tell('VHOST_USER_ADD_MEM_REG', other, guest.fds), 0);
          equal(await frontend.tell('VHOST_USER_REM_MEM_REG', other), 0);
          await Promise.all(answers);
        }
      }),
  },
];
