import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Bed, BoxError, XenBox } from '../../src/box/index.ts';
import { onEveryBed } from './on-every-bed.ts';
import { notHere } from './scale.ts';

/** Where guests have devices, other suites boot the box as well. */
const whyNot = (bed: Bed): string => (bed.features.includes('guest-devices') ? notHere(bed) : '');

const cases = (bed: Bed): void => {
  // What the harness itself can do is the same on all beds.
  const later = notHere(bed);
  let box: XenBox;

  beforeAll(async () => {
    box = await XenBox.boot({ bed: bed.name, name: 'xen-boots' });
  });

  afterAll(async () => {
    await box?.stop();
  });

  it('runs Xen of its series with dom0 on it', async () => {
    const info = await box.sh('xl info');
    const [major, minor] = bed.series.split('.');
    expect(info).toMatch(new RegExp(`^xen_major\\s*: ${major}$`, 'm'));
    expect(info).toMatch(new RegExp(`^xen_minor\\s*: ${minor}$`, 'm'));
    // The kernel of dom0 behaves as real ones do.
    expect(await box.sh('cat /sys/kernel/debug/sched/preempt')).toMatch(/\(full\)/);
    expect((await box.sh('xenstore-read /local/domain/0/name')).trim()).toBe('Domain-0');
    expect((await box.sh('node --version')).trim()).toBe('v20.20.2');
  });

  it.skipIf(later !== '')(`separates stdout, stderr and the exit code${later}`, async () => {
    const result = await box.exec('cat; echo oops >&2; exit 7', { stdin: 'in' });
    expect(result).toEqual({ code: 7, stdout: 'in', stderr: 'oops\n' });
  });

  it.skipIf(later !== '')(`runs commands at the same time${later}`, async () => {
    const reader = box.exec('mkfifo /tmp/meet; cat /tmp/meet');
    await box.sh('until [ -p /tmp/meet ]; do sleep 0.05; done; echo hello >/tmp/meet');
    expect((await reader).stdout).toBe('hello\n');
  });

  it.skipIf(later !== '')(`kills a command that takes too long${later}`, async () => {
    const error = await box.exec('sleep 1000', { timeoutMs: 200 }).catch((caught) => caught);
    expect(BoxError.is(error) && error.code).toBe('TIMEOUT');
    await box.sh('while pidof sleep; do :; done', { timeoutMs: 10_000 });
  });

  it.skipIf(later !== '')(`copies files in and out${later}`, async () => {
    const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251));
    await box.writeFile('/root/new/file', bytes, 0o755);
    expect(await box.readFile('/root/new/file')).toEqual(bytes);
    expect(await box.sh('stat -c %a /root/new/file')).toBe('755\n');
    await expect(box.readFile('/root/absent')).rejects.toThrow('ENOENT');
  });

  it.skipIf(later !== '')(`keeps background processes and their output${later}`, async () => {
    const ticker = box.spawn('ticker', 'sh -c "while echo tick; do sleep 0.1; done"');
    await ticker.waitFor(/tick\ntick/);
    expect(await ticker.stop()).toBe(128);
    const short = box.spawn('short', 'sh -c "echo bye; exit 3"');
    await expect(short.waitFor(/never/)).rejects.toThrow('it ended with 3');
  });

  it('creates, reboots and destroys guests', async () => {
    const one = await box.createDomain({ name: 'one' });
    const two = await box.createDomain({ name: 'two' });
    expect(await one.exec('echo out; echo err >&2; exit 5')).toEqual({
      code: 5,
      stdout: 'out\n',
      stderr: 'err\n',
    });
    expect(await two.sh('cat /sys/hypervisor/type')).toBe('xen\n');
    const before = await one.id();
    await one.reboot();
    expect(await one.id()).not.toBe(before);
    expect(await one.sh('cut -d. -f1 /proc/uptime')).toMatch(/^\d\n$/);
    await one.destroy();
    await two.destroy();
    expect((await box.sh('xl list')).trim().split('\n')).toHaveLength(2);
    await expect(one.exec('true')).rejects.toThrow('destroyed');
  });

  it.skipIf(later !== '')(`reads answers between messages of the kernel${later}`, async () => {
    const guest = await box.createDomain({ name: 'noisy' });
    await guest.sh(
      '(for i in $(seq 300); do echo "<1>noise $i" >/dev/kmsg; done) >/dev/null 2>&1 &',
    );
    const text = await guest.sh('seq 3000');
    expect(text).toBe(`${Array.from({ length: 3000 }, (_, index) => index + 1).join('\n')}\n`);
    await guest.destroy();
  });

  it.skipIf(later !== '')(`quotes the logs when a guest cannot be created${later}`, async () => {
    const config = { name: 'huge', memory: 100_000 };
    await expect(box.createDomain(config)).rejects.toThrow(/Cannot run `xl create.*memory/s);
  });
};

onEveryBed('the Xen box', [], cases, whyNot);
