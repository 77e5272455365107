// A machine without a hypervisor that has one device of its own: the guest writes an address to its
// register, the device reads the text that is there from guest memory and interrupts the guest.
//
//   node examples/dist/simulated-machine.js
import { SimulatedVm } from '@node-vmm/ioreq-eventfd/simulated';
import { SimulatedTestGuest } from '@node-vmm/ioreq-eventfd/testing';
import { type GuestMemory, guestAddress } from '@node-vmm/vm-memory';
import { MainPoller } from '@node-vmm/vmm-sys-util';

const BASE = 0x200_0000n;
const IRQ = 33;
const LENGTH = 64;

const poller = new MainPoller();
const vm = SimulatedVm.create({ poller });
const memory: GuestMemory = vm.memory;

// The device. What the guest writes may be any address: `read` throws where there is no memory.
const irq = vm.connectIrq({ kind: 'line', irq: IRQ });
vm.map(
  { space: 'memory', base: BASE, length: 0x1000 },
  {
    read: () => 0n,
    write(_offset, _size, value) {
      const bytes = new Uint8Array(LENGTH);
      memory.read(guestAddress(value), bytes);
      console.log(Buffer.from(bytes).toString().replace(/\0.*/s, ''));
      irq.raise();
    },
  },
);

// The guest. Here it runs in this thread; see `virtio-driver` for one with a thread of its own.
const guest = new SimulatedTestGuest(vm.guestResources());
const text = memory.regions[0]?.guestAddr ?? guestAddress(0);
memory.write(text, new TextEncoder().encode('hello from the guest'));
await guest.write(BASE, 4, BigInt(text));
await guest.interrupt(IRQ);
console.log('interrupted');

guest.close();
vm.close();
poller.close();
