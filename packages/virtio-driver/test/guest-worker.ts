// The guest of the end-to-end test in a thread of the device model's process.
import { parentPort, workerData } from 'node:worker_threads';
import { SimulatedGuest, type SimulatedMachine } from '@node-vmm/ioreq-eventfd/simulated';
import { VirtioI2cDriver } from '@node-vmm/virtio-driver';

const { machine, fds } = workerData as { machine: SimulatedMachine; fds: number[] };
using guest = new SimulatedGuest(machine, fds, { vcpu: 1, timeout: 10_000 });
const driver = new VirtioI2cDriver(guest, { base: 0x200_0000n, irq: 33 });
driver.write(0x50, Uint8Array.of(1, 0xaa));
parentPort?.postMessage(driver.writeRead(0x50, Uint8Array.of(1), 1)[0]);
