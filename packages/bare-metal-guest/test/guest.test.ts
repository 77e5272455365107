import {
  VIRTIO_ID_BLOCK,
  VIRTIO_ID_GPIO,
  VIRTIO_ID_I2C_ADAPTER,
  VIRTIO_ID_RNG,
} from '@node-vmm/virtio-bindings';
import { describe, expect, it } from 'vitest';
import { runGuest, unavailable } from './fixtures/guest-machine.ts';

const RNG = { type: VIRTIO_ID_RNG };
const I2C = { type: VIRTIO_ID_I2C_ADAPTER };
const GPIO = { type: VIRTIO_ID_GPIO };

const failures = (lines: readonly string[]): string[] =>
  lines.filter((line) => line.includes('FAILED'));

describe.skipIf(unavailable)(`the guest ${unavailable ?? 'on /dev/kvm'}`, () => {
  it('drives each device, and each answer comes with an interrupt', async () => {
    const { lines, code } = await runGuest({
      devices: [RNG, I2C, GPIO, RNG],
      commandLine: 'rng.requests=12 gpio.edges=5 i2c.requests=3 unknown=1',
    });
    const text = lines.map((line) => line.replace(/0x[\da-f]{8}$/, '0xSUM'));
    const entropy = (base: string, irq: number): string[] => [
      `rng: device at ${base}, interrupt ${irq}, features 0x0`,
      'rng: 12 requests, 10848 bytes, sum 0xSUM',
      'rng: 12 kicks, 12 completions, 12 interrupts, 0 spurious',
    ];
    expect(text.slice(1)).toEqual([
      ...entropy('0xd0000000', 5),
      'i2c: device at 0xd0001000, interrupt 6, features 0x1',
      'i2c: a chip at 0x50',
      'i2c: 1 chips',
      'i2c: 3 bytes written and read back at 0x50',
      // 112 addresses and one that is absent; 3 writes and 3 transfers of two messages.
      'i2c: 119 kicks, 122 completions, 119 interrupts, 0 spurious',
      'gpio: device at 0xd0002000, interrupt 7, features 0x1',
      'gpio: 4 lines',
      'gpio: waiting for 5 edges of line 1',
      'gpio: 5 edges of line 1',
      'gpio: 16 kicks, 16 completions, 16 interrupts, 0 spurious',
      ...entropy('0xd0003000', 8),
      'guest: done',
    ]);
    expect(code).toBe(0);
  });

  it.each([
    [RNG, 'silent', 'rng: FAILED: no answer in time'],
    [RNG, 'no-interrupt', 'rng: FAILED: an answer without an interrupt'],
    [RNG, 'twice', 'rng: FAILED: answers to nothing'],
    [RNG, 'too-long', 'rng: FAILED: 2 bytes used of 1, or more written'],
    [RNG, 'empty', 'rng: FAILED: 0 bytes used of 1, or more written'],
    [RNG, 'behind', 'rng: FAILED: 1 bytes used of 1, or more written'],
    [RNG, 'repeats', 'rng: FAILED: the same bytes again'],
    [RNG, 'legacy', 'guest: FAILED: no virtio-mmio device of version 2 at 0xd0000000'],
    [RNG, 'no-version-1', 'rng: FAILED: cannot be initialised, status 0x3'],
    [RNG, 'refuses-features', 'rng: FAILED: cannot be initialised, status 0x3'],
    [RNG, 'small-queue', 'rng: FAILED: cannot be initialised, status 0xb'],
    [RNG, 'never-resets', 'rng: FAILED: cannot be initialised, status 0x4'],
    [I2C, 'silent', 'i2c: FAILED: no answer in time'],
    [I2C, 'no-features', 'i2c: FAILED: no VIRTIO_I2C_F_ZERO_LENGTH_REQUEST'],
    [I2C, 'all-answer', 'i2c: FAILED: 0x31 answers 0'],
    [I2C, 'forgets', 'i2c: FAILED: byte 0 could not be written and read back'],
    [GPIO, 'no-features', 'gpio: FAILED: no VIRTIO_GPIO_F_IRQ'],
    [GPIO, 'forgets', 'gpio: FAILED: message 0x4 is answered with 0x0, and not 0x100'],
    [GPIO, 'invalid-events', 'gpio: FAILED: an event of status 0x0'],
  ])('finds out that a device %o is faulty: %s', async (device, fault, failure) => {
    // Where an interrupt has to come it may take its time.
    const patience = ['silent', 'no-interrupt'].includes(fault) ? 'timeout=1' : '';
    const { lines, code } = await runGuest({
      devices: [{ ...device, fault }],
      commandLine: `rng.requests=4 gpio.edges=1 ${patience}`,
    });
    expect(failures(lines)[0]).toBe(failure);
    expect(lines.at(-1)).toMatch(/^guest: \d checks failed$/);
    expect(code).toBe(1);
  });

  it('is hostile first, and drives all the same; another vCPU never ends', async () => {
    const { lines, code } = await runGuest({
      devices: [RNG, I2C, GPIO],
      commandLine: 'hostile=1 spin=1 rng.requests=6 gpio.edges=1',
      vcpus: 2,
    });
    expect(lines.filter((line) => line.startsWith('hostile: '))).toEqual([
      'hostile: the second vCPU spins',
      'hostile: wrong accesses to rng survived',
      'hostile: wrong accesses to i2c survived',
      'hostile: wrong accesses to gpio survived',
    ]);
    expect(lines.at(-1)).toBe('guest: done');
    expect(code).toBe(0);
  });

  it.each([
    ['', 'guest: FAILED: the command line names no virtio_mmio.device'],
    ['virtio_mmio.device=512', 'guest: FAILED: a device that is one too many, or not'],
    ['virtio_mmio.device=512@0xd0000000:24', 'guest: FAILED: a device that is one too many'],
    [
      Array.from({ length: 9 }, (_, i) => `virtio_mmio.device=4K@0xd000${i}000:${5 + i}`).join(' '),
      'guest: FAILED: a device that is one too many',
    ],
    ['spin=1 timeout=1', 'hostile: FAILED: the second vCPU does not start'],
  ])('says what is wrong with the command line "%s"', async (commandLine, failure) => {
    const { lines, code } = await runGuest({ commandLine });
    expect(failures(lines)[0]).toContain(failure);
    expect(code).toBe(1);
  });

  it('says that it was not entered as the PVH ABI has it', async () => {
    const { lines, code } = await runGuest({ magic: 1 });
    expect(lines).toEqual(['guest: FAILED: no hvm_start_info']);
    expect(code).toBe(2);
  });

  it('leaves a device alone that it does not know', async () => {
    const { lines, code } = await runGuest({ devices: [{ type: VIRTIO_ID_BLOCK }] });
    expect(lines[1]).toBe('guest: device at 0xd0000000: nothing drives type 2');
    expect(code).toBe(0);
  });
});
