// The guest of the end-to-end test: a process of its own.
import { SimulatedGuest } from '@node-vmm/ioreq-eventfd/simulated';
import { VirtioI2cDriver } from '@node-vmm/virtio-driver';

const guest = SimulatedGuest.attach(process.argv[2] as string, 3, { timeout: 10_000 });
const [device] = guest.machine.devices;
if (device === undefined) throw new Error('no device in the description');
const driver = new VirtioI2cDriver(guest, { base: BigInt(device.base), irq: device.irq });
const rounds = Number(process.argv[3]);
let ok = 0;
for (let i = 0; i < rounds; i++) {
  driver.write(0x50, Uint8Array.of(i & 0xff, (i * 7) & 0xff));
  if (driver.writeRead(0x50, Uint8Array.of(i & 0xff), 1)[0] === ((i * 7) & 0xff)) ok++;
}
const absent = driver.transfer([{ address: 0x20, read: true, length: 1 }])[0]?.ok;
driver.transport.stopQueue(0);
driver.transport.reset();
guest.close();
process.stdout.write(JSON.stringify({ ok, absent }));
