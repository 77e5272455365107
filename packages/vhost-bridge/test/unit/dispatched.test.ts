// What holds of a bridge whose guests the main thread serves holds where a dispatch thread does.
import { DispatchThread } from '@node-vmm/vm-dispatch';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Bridge } from '../../src/bridge.ts';
import { SocketDirectory } from '../../src/socket-provider.ts';
import { MemoryLogger, until } from '../../src/testing/index.ts';
import { Daemon, GuestProcess, i2cDevice, Machines, serving } from '../support/machine.ts';
import { TempDir } from '../support/temp-dir.ts';

const poller = new MainPoller();
let thread: DispatchThread;

beforeAll(async () => {
  thread = await DispatchThread.start({ poller });
  serving.host = thread;
});
afterAll(async () => {
  delete serving.host;
  thread.close();
  await thread.ended;
  poller.close();
});

await import('./bridge.test.ts');
await import('./bridge-places.test.ts');
await import('./inflight.test.ts');
await import('./restart.test.ts');
await import('./teardown.test.ts');

describe('A bridge that is busy', () => {
  it('for two seconds delays no register, kick or interrupt of a guest', async () => {
    const dir = new TempDir();
    const machines = new Machines(poller);
    const bridge = new Bridge({
      attachVm: (guest) => {
        const vm = machines.get(guest);
        return { vm, memory: Promise.resolve(vm.memory) };
      },
      sockets: new SocketDirectory(dir.path),
      poller,
      logger: new MemoryLogger(),
    });
    const daemon = new Daemon(dir.join('i2c.sock0'));
    daemon.start();
    let guest: GuestProcess | undefined;
    try {
      await bridge.add(i2cDevice());
      guest = new GuestProcess(machines.get(1), i2cDevice());
      expect(await guest.ask('start')).toBe(true);
      // Its queue is a back-end's, and the guest has heard what to do.
      await guest.ask('pairs', 0, 1);
      const asked = guest.ask('pairs', 0, 5000);
      await until(() => machines.get(1).memoryBus.ioeventfds > 4);
      // From here on this thread's event loop does not turn; what another counts is seen all the same.
      const { memoryBus: before } = machines.get(1);
      const nobody = new Int32Array(new SharedArrayBuffer(4));
      Atomics.wait(nobody, 0, 0, 2000);
      const { memoryBus: after } = machines.get(1);
      // Each transfer is a kick, and an interrupt whose cause is read.
      expect(after.ioeventfds - before.ioeventfds).toBeGreaterThan(100);
      expect(after.reads - before.reads).toBeGreaterThan(100);
      expect(await asked).toEqual({ done: 5000, repeated: 0 });
    } finally {
      await guest?.end();
      await daemon.kill();
      await bridge.close();
      machines.close();
      dir[Symbol.dispose]();
    }
  }, 60_000);
});
