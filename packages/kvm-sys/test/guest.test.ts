import { EventFd } from '@node-vmm/vmm-sys-util';
import { afterEach, describe, expect, it } from 'vitest';
import { type Code, HLT, MMIO_BASE, SHOW_MMIO, SPIN } from './fixtures/code.ts';
import { signals } from './fixtures/signals.ts';
import { TestGuest, unavailable } from './fixtures/test-guest.ts';

const open: TestGuest[] = [];
const guest = (...options: ConstructorParameters<typeof TestGuest>): TestGuest => {
  const made = new TestGuest(...options);
  open.push(made);
  return made;
};
afterEach(async () => {
  for (const made of open.splice(0)) await made.close();
});

describe.skipIf(unavailable)(`a bare-metal guest ${unavailable ?? 'on /dev/kvm'}`, () => {
  it('writes to what is no memory, with each width', async () => {
    const code: Code = [
      ...SHOW_MMIO,
      ['c606100011', 'mov byte [0x10], 0x11'],
      ['c70612002233', 'mov word [0x12], 0x3322'],
      ['66c706140078563412', 'mov dword [0x14], 0x12345678'],
      ...HLT,
    ];
    const running = guest({ code }).run();
    const { exit } = await running.ended();
    expect(exit.kind).toBe('hlt');
    expect(running.accesses).toEqual([
      'write d0010 11',
      'write d0012 2233',
      'write d0014 78563412',
    ]);
  });

  it('gets what was read into its registers, and ones where nobody answers', async () => {
    const code: Code = [
      ...SHOW_MMIO,
      ['66a12000', 'mov eax, [0x20]'],
      ['668b1e2400', 'mov ebx, [0x24]'],
      ['8a0e2800', 'mov cl, [0x28]'],
      ...HLT,
    ];
    const reads = { d0020: 'efbeadde', d0028: '5a' };
    const { regs } = await guest({ code }).run(0, { reads }).ended();
    expect(regs.rax).toBe(0xdeadbeefn);
    expect(regs.rbx).toBe(0xffff_ffffn);
    expect(regs.rcx & 0xffn).toBe(0x5an);
  });

  it('has accesses that straddle come in pieces', async () => {
    const code: Code = [
      ...SHOW_MMIO,
      // Across the end of a page: two pages may be two devices.
      ['66c706fe0f44332211', 'mov dword [0xffe], 0x11223344'],
      ['66a1fd0f', 'mov eax, [0xffd]'],
      ...HLT,
    ];
    const running = guest({ code }).run(0, { reads: { d0ffd: '010203', d1000: '04' } });
    const { regs } = await running.ended();
    expect(running.accesses).toEqual([
      'write d0ffe 4433',
      'write d1000 2211',
      'read d0ffd 010203',
      'read d1000 04',
    ]);
    expect(regs.rax).toBe(0x04030201n);
  });

  it('uses ports with each width', async () => {
    const code: Code = [
      ['baf803', 'mov dx, 0x3f8'],
      ['b041', 'mov al, 0x41'],
      ['ee', 'out dx, al'],
      ['b84342', 'mov ax, 0x4243'],
      ['ef', 'out dx, ax'],
      ['66b847464544', 'mov eax, 0x44454647'],
      ['66ef', 'out dx, eax'],
      ['66ed', 'in eax, dx'],
      ['6689c3', 'mov ebx, eax'],
      ['ec', 'in al, dx'],
      ...HLT,
    ];
    const running = guest({ code }).run(0, { reads: { '3f8': '01020304' } });
    const { regs } = await running.ended();
    expect(running.accesses).toEqual([
      'out 3f8 41',
      'out 3f8 4342',
      'out 3f8 47464544',
      'in 3f8 01020304',
      'in 3f8 01',
    ]);
    expect(regs.rbx).toBe(0x04030201n);
  });

  it('uses ports with string instructions', async () => {
    const code: Code = [
      ['be0020', 'mov si, 0x2000'],
      ['b90400', 'mov cx, 4'],
      ['baf803', 'mov dx, 0x3f8'],
      ['fc', 'cld'],
      ['f36e', 'rep outsb'],
      ['bf0030', 'mov di, 0x3000'],
      ['b90300', 'mov cx, 3'],
      ['f36c', 'rep insb'],
      ...HLT,
    ];
    const made = guest({ code });
    made.bytes.set([0x61, 0x62, 0x63, 0x64], 0x2000);
    const running = made.run(0, { reads: { '3f8': '7a' } });
    await running.ended();
    expect(running.accesses).toEqual([
      ...['61', '62', '63', '64'].map((byte) => `out 3f8 ${byte}`),
      ...['7a', '7a', '7a'].map((byte) => `in 3f8 ${byte}`),
    ]);
    expect([...made.bytes.subarray(0x3000, 0x3004)]).toEqual([0x7a, 0x7a, 0x7a, 0]);
  });

  it('notifies an eventfd without an exit, and exits with another value or width', async () => {
    const code: Code = [
      ...SHOW_MMIO,
      ['66c706500005000000', 'mov dword [0x50], 5'],
      ['66c706500006000000', 'mov dword [0x50], 6'],
      ['c70650000500', 'mov word [0x50], 5'],
      ['66c706500005000000', 'mov dword [0x50], 5'],
      ...HLT,
    ];
    using eventfd = EventFd.create();
    const made = guest({ code });
    const address = BigInt(MMIO_BASE + 0x50);
    made.vm.ioeventfd({ space: 'memory', address, length: 4, datamatch: 5n, eventfd });
    const running = made.run();
    await running.ended();
    expect(running.accesses).toEqual(['write d0050 06000000', 'write d0050 0500']);
    expect(signals(eventfd)).toBe(2n);
  });

  it('notifies an eventfd by a port and by any width, until it is taken back', async () => {
    const code: Code = [
      ['bae803', 'mov dx, 0x3e8'],
      ['ee', 'out dx, al'],
      ...SHOW_MMIO,
      ['c606700001', 'mov byte [0x70], 1'],
      ['c70670000100', 'mov word [0x70], 1'],
      ['c606740001', 'mov byte [0x74], 1'],
      ...HLT,
    ];
    using port = EventFd.create();
    using any = EventFd.create();
    using gone = EventFd.create();
    const made = guest({ code });
    made.vm.ioeventfd({ space: 'port', address: 0x3e8n, length: 1, eventfd: port });
    made.vm.ioeventfd({ space: 'memory', address: 0xd0070n, length: 0, eventfd: any });
    made.vm.ioeventfd({ space: 'memory', address: 0xd0074n, length: 1, eventfd: gone }).close();
    const running = made.run();
    await running.ended();
    expect(running.accesses).toEqual(['write d0074 01']);
    expect([port, any, gone].map(signals)).toEqual([1n, 2n, 0n]);
  });

  it('is kicked out, and goes on', async () => {
    const made = guest({ code: [...SHOW_MMIO, ['c606100011', 'mov byte [0x10], 0x11'], ...SPIN] });
    const running = made.run();
    await expect.poll(() => running.accesses).toEqual(['write d0010 11']);
    for (const kicks of [1, 2, 3]) {
      running.vcpu.kick();
      await expect.poll(() => running.accesses.at(-1)).toBe(`kicked ${kicks}`);
    }
    await made.threads.stop();
    const { exit } = await running.ended();
    expect(exit.kind).toBe('interrupted');
    expect(running.vcpu.held).toBe(false);
  });

  it('has two vCPUs, on the same memory', async () => {
    const code: Code = [
      ...SHOW_MMIO,
      ['881e1000', 'mov [0x10], bl'],
      // The first one to arrive waits for the other.
      ['31c0', 'xor ax, ax'],
      ['8ed8', 'mov ds, ax'],
      ['f0fe060040', 'lock inc byte [0x4000]'],
      ['803e004002', 'cmp byte [0x4000], 2'],
      ['75f9', 'jne -7'],
      ...HLT,
    ];
    const made = guest({ code });
    const running = [0, 1].map((id) => made.run(id, { regs: { rbx: BigInt(id) } }));
    const reports = await Promise.all(running.map((one) => one.ended()));
    expect(reports.map(({ exit }) => exit.kind)).toEqual(['hlt', 'hlt']);
    expect(running.map(({ accesses }) => accesses)).toEqual([
      ['write d0010 00'],
      ['write d0010 01'],
    ]);
    expect(made.bytes[0x4000]).toBe(2);
  });

  it('runs beside another VM, each in its own memory', async () => {
    const code: Code = [
      ['a00040', 'mov al, [0x4000]'],
      ['a20050', 'mov [0x5000], al'],
      ...SHOW_MMIO,
      ['c606100001', 'mov byte [0x10], 1'],
      ...SPIN,
    ];
    const guests = [7, 9].map((value) => {
      const made = guest({ code });
      made.bytes[0x4000] = value;
      return { made, running: made.run() };
    });
    // Both are in the guest at the same time.
    for (const { running } of guests) {
      await expect.poll(() => running.accesses).toEqual(['write d0010 01']);
    }
    expect(guests.map(({ made }) => made.bytes[0x5000])).toEqual([7, 9]);
  });

  it('has memory that it may only read, and loses what is taken back', async () => {
    const code: Code = [
      ['b80020', 'mov ax, 0x2000'],
      ['8ed8', 'mov ds, ax'],
      ['a00000', 'mov al, [0]'],
      ['c606000055', 'mov byte [0], 0x55'],
      ['b80030', 'mov ax, 0x3000'],
      ['8ed8', 'mov ds, ax'],
      ['8a1e0000', 'mov bl, [0]'],
      ...HLT,
    ];
    const made = guest({ code });
    const region = { memory: made.memory, offset: 0x4000, size: 0x1000 };
    made.bytes[0x4000] = 0x33;
    made.vm.setUserMemoryRegion({ slot: 1, address: 0x20000n, ...region, readOnly: true });
    made.vm.setUserMemoryRegion({ slot: 2, address: 0x30000n, ...region }).close();
    const running = made.run(0, { reads: { '30000': '77' } });
    const { regs } = await running.ended();
    expect(running.accesses).toEqual(['write 20000 55', 'read 30000 77']);
    expect([regs.rax & 0xffn, regs.rbx & 0xffn]).toEqual([0n, 0x77n]);
    expect(made.bytes[0x4000]).toBe(0x33);
  });
});
