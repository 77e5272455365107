// Reads a guest's memory from outside: where it has some, and what is at an address.
//
//   node examples/dist/read-guest-memory.js --domid 3 --address 0x40000000    # in dom0
//   node examples/dist/read-guest-memory.js --fake                            # on a hypervisor in memory
import { parseArgs } from 'node:util';
import { type GuestRange, guestAddress } from '@node-vmm/vm-memory';
import { XenBankMemory } from '@node-vmm/vm-memory/xen';
import { asDomId, GUEST_LAYOUTS, XenHost } from '@node-vmm/xen-sys';
import { FakeXen } from '@node-vmm/xen-sys/testing';

const LENGTH = 64;
const { values } = parseArgs({
  options: {
    domid: { type: 'string', default: '1' },
    address: { type: 'string' },
    fake: { type: 'boolean', default: false },
  },
});

// Where the architecture may have RAM, as much as the toolstack lets the guest have.
// The hypervisor in memory has guests of Arm.
const layout = GUEST_LAYOUTS[process.arch === 'x64' && !values.fake ? 'x86_64' : 'arm64'];
const candidateRanges: GuestRange[] = layout.ram.map(({ base, size }) => ({
  guestAddr: guestAddress(base),
  length: size,
}));

const domid = asDomId(Number(values.domid));
const fake = values.fake ? new FakeXen() : undefined;
if (fake !== undefined) {
  const base = 0x4000_0000n;
  const guest = fake.addDomain(domid, { banks: [{ base, length: 0x10_0000 }] });
  guest.ram(base, LENGTH).set(new TextEncoder().encode('this is what the guest has there'));
}

const xen = fake?.host() ?? XenHost.open();
const memory = await XenBankMemory.find({
  domid,
  mapper: xen.memory,
  candidateRanges,
  maxPages: xen.maximumReservation(domid),
});
// Holes are left out, which takes mapping every page once; nothing of it stays mapped.
const extents = await memory.extents();
for (const { guestAddr, length } of extents) {
  console.log(`${BigInt(length) / 1024n} KiB at 0x${guestAddr.toString(16)}`);
}

const first = extents[0]?.guestAddr ?? guestAddress(0);
const address = values.address === undefined ? first : guestAddress(BigInt(values.address));
// The guest goes on running: these bytes are copied while it may write to them.
const bytes = new Uint8Array(LENGTH);
memory.read(address, bytes);
for (let at = 0; at < LENGTH; at += 16) {
  const row = Buffer.from(bytes.subarray(at, at + 16));
  const text = row.toString('latin1').replace(/[^ -~]/g, '.');
  const hex = row.toString('hex').replace(/..(?=.)/g, '$& ');
  console.log(`0x${(BigInt(address) + BigInt(at)).toString(16)}  ${hex}  ${text}`);
}

// A domain whose memory somebody maps never goes away.
memory.close();
xen.close();
fake?.close();
