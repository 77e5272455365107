import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Kvm } from '@node-vmm/kvm-sys';
import {
  BARE_METAL,
  DebugConsole,
  ExitPort,
  KvmMachine,
  type KvmMachineOptions,
  loadBareMetal,
} from '@node-vmm/kvm-vm';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { unavailable } from './fixtures/available.ts';
import { MailboxGuest } from './fixtures/mailbox-guest.ts';

const NAME = 'kvm-vm-test';
/** Starts and stops, so many at a time. */
const ROUNDS = Number(process.env['KVM_VM_ROUNDS'] ?? 60);
const TOGETHER = 4;
const SPIN = Uint8Array.of(0xeb, 0xfe);
const HOLE = 0xd000_0000n;

function residue(): Record<'descriptors' | 'ofKvm' | 'threads' | 'mappings', number> {
  const links = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      // The one by which the directory was read.
      return [];
    }
  });
  const maps = readFileSync('/proc/self/maps', 'latin1').split('\n');
  return {
    descriptors: links.length,
    ofKvm: links.filter((link) => link.startsWith('anon_inode:kvm-')).length,
    threads: readdirSync('/proc/self/task').length,
    mappings: maps.filter((line) => line.includes('kvm-vcpu') || line.includes(NAME)).length,
  };
}

describe.skipIf(unavailable)(`KvmMachine ${unavailable ?? 'on /dev/kvm'}`, () => {
  let kvm: Kvm;
  let poller: MainPoller;
  beforeAll(() => {
    kvm = Kvm.open();
    poller = new MainPoller();
  });
  afterAll(() => {
    poller.close();
    kvm.close();
  });
  const made: KvmMachine[] = [];
  const machine = (options: Partial<KvmMachineOptions> = {}): KvmMachine => {
    const vm = KvmMachine.create({ kvm, poller }, { memory: 2 << 20, name: NAME, ...options });
    made.push(vm);
    return vm;
  };
  afterEach(async () => {
    for (const vm of made.splice(0)) {
      vm.close();
      await vm.closed;
    }
  });

  it('says what its guest has said, and how that ended', async () => {
    const vm = machine();
    const lines: string[] = [];
    const port = { space: 'port', length: 4 } as const;
    const log = new DebugConsole((line) => lines.push(line));
    vm.map({ ...port, base: BigInt(BARE_METAL.CONSOLE_PORT), length: 1 }, log);
    const exit = new ExitPort((code) => vm.exit(code));
    vm.map({ ...port, base: BigInt(BARE_METAL.EXIT_PORT) }, exit);
    // mov al, 'A'; out 0xe9, al; mov al, 10; out 0xe9, al; mov al, 7; out 0xf4, al; jmp $
    const image = Buffer.from('b041e6e9b00ae6e9b007e6f4ebfe', 'hex');
    vm.start(loadBareMetal(vm.memory, vm.banks, { image }));
    expect(await vm.ended).toEqual({ kind: 'guest', code: 7 });
    expect(lines).toEqual(['A']);
    expect(() => vm.start({ mode: 'flat32', rip: 0, rbx: 0 })).toThrow(
      expect.objectContaining({ code: 'STARTED' }),
    );
  });

  it('that can have no thread for a vCPU leaves nothing of itself', async () => {
    const one = async (): Promise<void> => {
      // Of a kind of which Node makes no thread.
      const vm = machine({ vcpus: 2, threadModule: new URL('https://example.org/vcpu.js') });
      expect(() => vm.start({ mode: 'flat32', rip: 0, rbx: 0 })).toThrow(/URL/);
      vm.close();
      await vm.closed;
    };
    await one();
    const before = residue();
    for (let i = 0; i < 3; i++) await one();
    expect(residue()).toEqual(before);
  });

  it('does not keep a process from exiting while a vCPU waits for an answer', async () => {
    const script = fileURLToPath(new URL('./fixtures/exit-held.mjs', import.meta.url));
    const child = spawn(process.execPath, [script], { stdio: 'inherit' });
    try {
      const [status] = (await once(child, 'exit')) as [number | null];
      expect(status).toBe(7);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('ends with the reason when KVM cannot go on', async () => {
    const vm = machine();
    const guest = await MailboxGuest.start(vm, 1);
    guest.stuck();
    const end = await vm.ended;
    guest.close();
    expect(end).toMatchObject({ kind: 'failed' });
    expect(end.kind === 'failed' && end.error.code).toMatch(/^GUEST_(STUCK|SHUTDOWN)$/);
  });

  it('reads ones where nothing is, and serves accesses that straddle as the bus does', async () => {
    const vm = machine();
    const guest = await MailboxGuest.start(vm, 1);
    const accesses: string[] = [];
    vm.map(
      { space: 'memory', base: HOLE, length: 0x1000 },
      {
        read: (offset, size) => {
          accesses.push(`read ${offset}/${size}`);
          return 0x1122_3344_5566_7788n;
        },
        write: (offset, size, value) => {
          accesses.push(`write ${offset}/${size}=${value}`);
          return undefined;
        },
      },
    );
    expect(await guest.read(0xdeed_0000n, 4)).toBe(0xffff_ffffn);
    expect(await guest.read(0x700n, 2, { space: 'port' })).toBe(0xffffn);
    // Two registers of one window are one access, as long as it does not leave the page.
    expect(await guest.read(HOLE + 2n, 4)).toBe(0x5566_7788n);
    // The first piece is in the window, and the second is nowhere.
    expect(await guest.read(HOLE + 0xffen, 4)).toBe(0xffff_7788n);
    // A piece of three bytes is no access that a device can be asked for.
    expect(await guest.read(HOLE + 0xffdn, 4)).toBe(0xffff_ffffn);
    await guest.write(HOLE + 0xffen, 4, 0x4433_2211n);
    expect(accesses).toEqual(['read 2/4', 'read 4094/2', 'write 4094/2=8721']);
    expect(vm.counters.malformed).toBe(1);
    vm.close();
    await vm.closed;
    guest.close();
  });

  it('is two at once, and one that spins is stopped while the other goes on', async () => {
    const [one, two] = [machine({ vcpus: 2 }), machine()];
    const spinning = await MailboxGuest.start(one, 2);
    const other = await MailboxGuest.start(two, 1);
    for (const vcpu of [0, 1]) await spinning.spin(vcpu);
    one.close();
    await one.closed;
    expect(await one.ended).toEqual({ kind: 'closed' });
    expect(await other.read(0xdeed_0000n, 1)).toBe(0xffn);
    two.close();
    await two.closed;
    spinning.close();
    other.close();
  });

  it('interrupts by a level until nothing is pending', async () => {
    const vm = machine();
    const guest = await MailboxGuest.start(vm, 1);
    const source = vm.connectIrq({ kind: 'line', irq: 5, trigger: 'level' });
    // Input 5 of the I/O APIC: vector 0x35, a level.
    await guest.write(0xfec0_0000n, 4, 0x1an);
    await guest.write(0xfec0_0010n, 4, 0x8035n);
    source.raise();
    await guest.interrupt(5);
    await guest.interrupt(5);
    source.lower();
    // One more may have been on its way.
    guest.takeInterrupt(5);
    expect(guest.takeInterrupt(5)).toBe(false);
    vm.close();
    await vm.closed;
    guest.close();
  });

  it('says what it cannot be made of', () => {
    const code = (options: Partial<KvmMachineOptions>): unknown => {
      try {
        return machine(options);
      } catch (error) {
        return (error as { code?: unknown }).code;
      }
    };
    expect(code({ vcpus: 0 })).toBe('BAD_OPTION');
    expect(code({ vcpus: 100_000 })).toBe('BAD_OPTION');
    expect(code({ hugePageSize: 12345 })).toBe('BAD_OPTION');
    // No machine has huge pages of that size, or reserves a terabyte of them.
    expect(code({ hugePageSize: 1 << 30, memory: 1 << 30 })).toBe('NO_HUGE_PAGES');
    expect(residue()).toMatchObject({ mappings: 0 });
  });

  it('has places for devices only where nothing else is', () => {
    const vm = machine();
    const at = (space: 'memory' | 'port', base: bigint): unknown => {
      try {
        return vm.map({ space, base, length: 8 }, { read: () => 0n, write: () => undefined });
      } catch (error) {
        return (error as { code?: unknown }).code;
      }
    };
    expect(at('memory', 0x1f_fffcn)).toBe('RANGE_IS_MEMORY');
    expect(at('memory', 0xfee0_0010n)).toBe('RANGE_RESERVED');
    expect(at('port', 0x1dn)).toBe('RANGE_RESERVED');
  });

  it(`leaves nothing behind, ${ROUNDS} times`, { timeout: 1_200_000 }, async () => {
    const round = async (): Promise<void> => {
      const vm = KvmMachine.create({ kvm, poller }, { memory: 2 << 20, name: NAME });
      vm.start(loadBareMetal(vm.memory, vm.banks, { image: SPIN }));
      expect(residue().mappings).toBeGreaterThan(0);
      vm.close();
      await vm.closed;
    };
    const rounds = async (): Promise<void> => {
      await Promise.all(Array.from({ length: TOGETHER }, round));
    };
    await rounds();
    const before = residue();
    expect(before).toMatchObject({ ofKvm: 0, mappings: 0 });
    for (let done = 0; done < ROUNDS; done += TOGETHER) await rounds();
    await expect.poll(residue).toEqual(before);
  });
});
