import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DOM0_ROOT, nodeArchives, QemuGuest, qemuNodeStatus } from '../../src/box/index.ts';

interface Outcome {
  readonly suite: string;
  readonly name: string;
  readonly error?: string;
}

const { ready, state, reason } = qemuNodeStatus();
const why = ready ? '' : ` (skipped, ${state}: ${reason})`;

// The suite that hosts of lines pass on fakes in unit tests, on what the fakes stand for.
describe.skipIf(!ready)(`GPIO lines of Linux, with gpio-sim in a guest of plain QEMU${why}`, () => {
  let scratch: string;
  let guest: QemuGuest;
  let output: string;

  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'gpio-host-'));
    guest = await QemuGuest.boot({
      name: 'qemu-gpio-host',
      memory: 1024,
      archives: nodeArchives(scratch, ['packages/vhost-device-gpio']),
      timeoutMs: 240_000,
    });
    const chip = '/sys/kernel/config/gpio-sim/test';
    await guest.sh(
      [
        `mkdir -p ${chip}/bank/line0 ${chip}/bank/line2`,
        `echo node-vmm-test > ${chip}/bank/label`,
        `echo 64 > ${chip}/bank/num_lines`,
        `echo button > ${chip}/bank/line0/name`,
        `echo led > ${chip}/bank/line2/name`,
        `echo 1 > ${chip}/live`,
      ].join(' && '),
    );
    const command = `node ${DOM0_ROOT}/box/gpio-host.js node-vmm-test`;
    output = await guest.sh(command, { timeoutMs: 240_000 });
  });

  afterAll(async () => {
    await guest?.stop();
    rmSync(scratch, { recursive: true, force: true });
  });

  it.each(['compliance', 'gpio-sim'])('%s', (suite) => {
    const lines = output.trim().split('\n');
    expect(lines.at(-1)).toBe('{"done":true}');
    const outcomes = lines.slice(0, -1).map((line) => JSON.parse(line) as Outcome);
    const ran = outcomes.filter((outcome) => outcome.suite === suite);
    expect(ran.length).toBeGreaterThan(5);
    expect(ran.filter(({ error }) => error !== undefined)).toEqual([]);
  });

  it('leaves every line to others at its end, and says nothing on standard error', async () => {
    const again = `node ${DOM0_ROOT}/box/gpio-host.js no-such-label`;
    const { code, stderr } = await guest.exec(again, { timeoutMs: 120_000 });
    expect(code).not.toBe(0);
    expect(stderr).toContain(
      'Cannot use GPIO chip "no-such-label": no such chip; there are 0 (node-vmm-test, 64 lines)',
    );
    // sysfs takes a line only when nobody has it.
    const base = '$(basename $(ls -d /sys/class/gpio/gpiochip*) | tr -dc 0-9)';
    await guest.sh(`echo ${base} > /sys/class/gpio/export`);
  });
});
