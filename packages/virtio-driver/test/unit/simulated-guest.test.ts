import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { SimulatedVm } from '@node-vmm/ioreq-eventfd/simulated';
import { VIRTIO_MMIO_QUEUE_NOTIFY, VirtioMmioTransport } from '@node-vmm/virtio-device';
import { EventFd, MainPoller } from '@node-vmm/vmm-sys-util';
import { afterEach, describe, expect, it } from 'vitest';
import { TestI2cDevice } from '../i2c-device.ts';

const path = (name: string): string => fileURLToPath(new URL(`../${name}`, import.meta.url));
const NODE_ARGS = ['--conditions=@node-vmm/source', '--import', path('ts-loader.mjs')];
const DEVICE = { base: 0x200_0000n, irq: 33 };

/** A machine with an I2C adapter, its queue wired to eventfds as a front-end does. */
class Machine {
  readonly poller = new MainPoller();
  readonly vm = SimulatedVm.create({ poller: this.poller }, { vcpus: 2 });
  readonly irq = this.vm.connectIrq({ kind: 'line', irq: DEVICE.irq });
  readonly device = new TestI2cDevice(this.vm.memory);
  readonly transport = new VirtioMmioTransport(this.device, {
    interrupt: () => this.irq.raise(),
  });
  readonly kick = EventFd.create();
  readonly call = EventFd.create();
  kicks = 0;

  constructor() {
    const { base } = DEVICE;
    this.vm.map({ space: 'memory', base, length: 0x200 }, this.transport);
    const guestAddr = base + BigInt(VIRTIO_MMIO_QUEUE_NOTIFY);
    this.vm.ioeventfd({ guestAddr, length: 4, datamatch: 0n }, this.kick);
    this.irq.irqfd(this.call, () => this.transport.queueInterrupt());
    this.device.interrupt = () => this.call.signal();
    this.poller.watch(this.kick.fd, { readable: true }, () => {
      if (!this.kick.drain()) return;
      this.kicks++;
      this.device.notifyQueue();
    });
  }

  close(): void {
    this.vm.close();
    this.poller.close();
    this.kick.close();
    this.call.close();
  }
}

describe('drivers in the guest of a simulated machine', () => {
  let machine: Machine | undefined;
  afterEach(() => {
    machine?.close();
    machine = undefined;
  });

  it('drives a device from a process of its own', async () => {
    machine = new Machine();
    const { machine: description, fds } = machine.vm.guestResources([DEVICE]);
    const args = [...NODE_ARGS, path('guest-program.ts'), JSON.stringify(description), '200'];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit', ...fds] });
    let output = '';
    child.stdout?.on('data', (chunk) => {
      output += chunk;
    });
    const [code] = await once(child, 'close');
    expect(code).toBe(0);
    expect(JSON.parse(output)).toEqual({ ok: 200, absent: false });
    expect(machine.device.seen).toHaveLength(601);
    expect(machine.kicks).toBe(401);
    expect(machine.transport.status).toBe(0);
    expect(Object.values(machine.transport.counters).every((count) => count === 0)).toBe(true);
    expect(machine.vm.counters).toMatchObject({ malformed: 0, unsupported: 0, errors: 0 });
  });

  it('drives a device from another thread', async () => {
    machine = new Machine();
    const { machine: description, fds } = machine.vm.guestResources([DEVICE]);
    const worker = new Worker(path('guest-worker.ts'), {
      execArgv: NODE_ARGS,
      trackUnmanagedFds: false,
      workerData: { machine: description, fds },
    });
    const [value] = await once(worker, 'message');
    expect(value).toBe(0xaa);
    await once(worker, 'exit');
  });
});
