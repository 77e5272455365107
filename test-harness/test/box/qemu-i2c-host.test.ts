import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { I2cAnswer, I2cRequest } from '../../src/box/agent/i2c-front-end.ts';
import { DOM0_ROOT, nodeArchives, QemuGuest, qemuNodeStatus } from '../../src/box/index.ts';
import {
  ALL_ACKNOWLEDGED,
  decodeWire,
  tracedParallelPort,
  type WireTransfer,
  wireLevels,
} from './parallel-port-wire.ts';

const { ready, state, reason } = qemuNodeStatus();
const why = ready ? '' : ` (skipped, ${state}: ${reason})`;

// VIRTIO 1.3 §5.16.6.1: `addr` of 7-bit 0x50, and of 10-bit 0x150 and 0x050.
const SEVEN = 0x50 << 1;
const TEN = 0x50f2;
const TEN_NOT_LISTED = 0x50f0;
const OK = 0;
const ERR = 1;

// The daemon on a Linux whose adapter has I2C_FUNC_10BIT_ADDR: i2c-algo-bit on a parallel port.
describe.skipIf(!ready)(`I2C adapter of Linux that has 10-bit addresses${why}`, () => {
  const scratch = mkdtempSync(join(tmpdir(), 'i2c-host-'));
  const trace = join(scratch, 'trace');
  const socket = '/tmp/i2c.sock';
  let guest: QemuGuest;

  beforeAll(async () => {
    guest = await QemuGuest.boot({
      name: 'qemu-i2c-host',
      memory: 1024,
      archives: nodeArchives(scratch, ['packages/vhost-device-i2c']),
      qemuArgs: tracedParallelPort(trace),
      timeoutMs: 240_000,
    });
    await guest.sh(`modprobe parport_pc io=0x378 irq=none && ${ALL_ACKNOWLEDGED}`);
    const list = 'Parallel port adapter:0x50:0xa150';
    await guest.sh(`vhost-device-i2c -s ${socket} -l '${list}' >/tmp/i2c.log 2>&1 &`);
    const listening = `n=0; until [ -S ${socket} ] || [ $n -ge 120 ]; do sleep 1; n=$((n+1)); done`;
    await guest.sh(`${listening}; [ -S ${socket} ] || { cat /tmp/i2c.log >&2; false; }`, {
      timeoutMs: 240_000,
    });
  }, 900_000);

  afterAll(async () => {
    await guest?.stop();
    rmSync(scratch, { recursive: true, force: true });
  });

  /** Asks the daemon. @returns its answers, and what went over the wire meanwhile */
  async function ask(
    ...requests: I2cRequest[]
  ): Promise<{ answers: readonly I2cAnswer[]; wire: readonly WireTransfer[] }> {
    const before = readFileSync(trace, 'utf8').length;
    const command = `node ${DOM0_ROOT}/box/i2c-front-end.js ${socket} '${JSON.stringify(requests)}'`;
    const answers = JSON.parse(await guest.sh(command, { timeoutMs: 240_000 })) as I2cAnswer[];
    return { answers, wire: decodeWire(wireLevels(readFileSync(trace, 'utf8').slice(before))) };
  }

  it('has them, and the daemon takes the adapter for that', async () => {
    // I2C_FUNC_10BIT_ADDR of linux/include/uapi/linux/i2c.h, as i2c-tools show it.
    const [bus] = /\d+(?=\/name)/.exec(
      await guest.sh("grep -l 'Parallel port adapter' /sys/bus/i2c/devices/i2c-*/name"),
    ) ?? [''];
    expect(await guest.sh(`i2cdetect -F ${bus}`)).toMatch(/^I2C\s+yes$/m);
    expect(await guest.sh('cat /tmp/i2c.log')).not.toMatch(/10BIT|Cannot/);
  });

  it('is sent a 7-bit address as one byte', async () => {
    expect(await ask({ addr: SEVEN, write: [0x12] })).toEqual({
      answers: [{ status: OK, data: [] }],
      wire: [{ messages: [[0xa0, 0x12]] }],
    });
  });

  it('is sent a 10-bit address as two, beginning with 11110', async () => {
    expect(await ask({ addr: TEN, write: [0x12] })).toEqual({
      answers: [{ status: OK, data: [] }],
      wire: [{ messages: [[0xf2, 0x50, 0x12]] }],
    });
  });

  it('reads from a 10-bit address by a repeated START', async () => {
    expect(await ask({ addr: TEN, read: 2 })).toEqual({
      // SDA reads low.
      answers: [{ status: OK, data: [0, 0] }],
      wire: [
        {
          messages: [
            [0xf2, 0x50],
            [0xf3, 0xff, 0xff],
          ],
        },
      ],
    });
  });

  it('makes a write and a read of a 10-bit address one transfer', async () => {
    const asked = await ask({ addr: TEN, write: [0x07], failNext: true }, { addr: TEN, read: 1 });
    expect(asked).toEqual({
      answers: [
        { status: OK, data: [] },
        { status: OK, data: [0] },
      ],
      wire: [
        {
          messages: [
            [0xf2, 0x50, 0x07],
            [0xf2, 0x50],
            [0xf3, 0xff],
          ],
        },
      ],
    });
  });

  it('is not asked for a 10-bit address that is not listed, though the 7-bit one is', async () => {
    expect(await ask({ addr: TEN_NOT_LISTED, write: [0x12] })).toEqual({
      answers: [{ status: ERR, data: [] }],
      wire: [],
    });
  });
});
