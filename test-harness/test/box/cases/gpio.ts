import type { ControlClient } from '@node-vmm/vhost-device-cli/control';
import { expect, it } from 'vitest';
import type { QemuGuest } from '../../../src/box/index.ts';

/** Options of the daemon whose lines these cases are about. */
export const GPIO_LINES: readonly string[] = [
  ...['--device-list', 's8'],
  ...['--line-names', 'button,led'],
];

/** What `line` tells, as far as it is looked at. */
interface LineReport {
  readonly direction: string;
  readonly value: number;
  readonly trigger: string;
  readonly masked: boolean;
  readonly latched: boolean;
  readonly interrupts: { readonly delivered: number; readonly coalesced: number };
}

/** GPIO lines as Linux's driver and libgpiod's tools see them, and as they are driven from outside. */
export function gpioCases(guest: () => QemuGuest, control: () => ControlClient): void {
  const line = async (name: string): Promise<LineReport> =>
    (await control().command(['line', name])) as unknown as LineReport;

  it('is a chip with the lines and names that the daemon was given', async () => {
    expect(await guest().sh('gpiodetect')).toMatch(/^gpiochip0 \[\S+\] \(8 lines\)\n$/);
    const info = (await guest().sh('gpioinfo -c gpiochip0')).trim().split('\n').slice(1);
    const names = info.map((text) => /^\s*line\s+\d+:\s+(\S+)/.exec(text)?.[1]);
    expect(names).toEqual(['"button"', '"led"', ...Array(6).fill('unnamed')]);
  });

  it('drives what gpioset sets, for as long as it holds the line', async () => {
    expect(await line('led')).toMatchObject({ direction: 'none' });
    await guest().sh('gpioset -z led=1');
    await expect.poll(() => line('led')).toMatchObject({ direction: 'out', value: 1 });
    await guest().sh('killall gpioset');
    await expect.poll(() => line('led')).toMatchObject({ direction: 'none' });
    await guest().sh('gpioset -z led=0');
    await expect.poll(() => line('led')).toMatchObject({ direction: 'out', value: 0 });
    await guest().sh('killall gpioset');
  });

  it('has gpioget read what is there outside', async () => {
    for (const level of ['1', '0', '1', '0']) {
      await control().command(['line', 'button', level]);
      expect(await guest().sh('gpioget --numeric button')).toBe(`${level}\n`);
    }
    expect(await guest().sh('gpioget --numeric -c gpiochip0 2 3')).toBe('0 0\n');
  });
}

/** The features of the guest's GPIO device: `1` for each that was negotiated, bit 0 first. */
export async function gpioFeatures(guest: QemuGuest): Promise<string> {
  return await guest.sh(
    "cd /sys/bus/virtio/devices; cat $(dirname $(grep -lx '0x0029' */device))/features",
  );
}

/**
 * Interrupts of the same lines.
 *
 * @param edges - counted, none lost or twice
 */
export function gpioInterruptCases(
  guest: () => QemuGuest,
  control: () => ControlClient,
  edges: number,
): void {
  const button = async (): Promise<LineReport> =>
    (await control().command(['line', 'button'])) as unknown as LineReport;
  // Options stand in front: gpiomon takes what follows a line's name for another name.
  const TOOL = 'gpiomon --format %e';

  /** Runs gpiomon for some edges while the line is moved, and returns what it printed. */
  const monitored = async (
    options: string,
    moves: () => Promise<void>,
    then = 'cat /tmp/edges',
  ): Promise<string> => {
    await guest().sh(`${TOOL} ${options} button >/tmp/edges 2>&1 & echo $! >/tmp/gpiomon`);
    await expect.poll(button, { timeout: 20_000 }).toMatchObject({ masked: false });
    await moves();
    return await guest().sh(
      `while kill -0 $(cat /tmp/gpiomon) 2>/dev/null; do sleep 0.1; done; ${then}`,
      { timeoutMs: 60_000 },
    );
  };

  /** Moves the line, and waits until another edge would not be one interrupt with this one. */
  const move = async (level: number): Promise<void> => {
    await control().command(['line', 'button', String(level)]);
    while ((await button()).latched);
  };
  const requests = async (): Promise<number> => {
    const { counters } = (await control().command(['state'])) as { counters?: object };
    return (counters as { readonly requests: number }).requests;
  };
  /** Moves the line, and waits until Linux has read it, which is how it tells one kind from the other. */
  const moveSlowly = async (level: number): Promise<void> => {
    const before = await requests();
    await move(level);
    while ((await requests()) === before);
  };

  it.each([
    ['rising', '1\n1\n1\n'],
    ['falling', '2\n2\n2\n'],
    ['both', '1\n2\n1\n2\n1\n2\n'],
  ])('has gpiomon see %s edges and no others', async (edge, expected) => {
    const count = expected.length / 2;
    const seen = await monitored(`-e ${edge} -n ${count}`, async () => {
      const step = edge === 'both' ? moveSlowly : move;
      for (let i = 0; i < 3; i++) for (const level of [1, 0]) await step(level);
    });
    expect(seen).toBe(expected);
  });

  it('interrupts the guest within 100 ms of a press', async () => {
    const times: number[] = [];
    // One more than is measured: behind its last edge gpiomon wants no other.
    await monitored('-e rising -n 6', async () => {
      for (let i = 0; i < 5; i++) {
        const pressed = performance.now();
        expect(await control().command(['line', 'button', 'pulse'])).toMatchObject({
          edges: [{ edge: 'rising', became: 'delivered' }, { edge: 'falling' }],
        });
        // The guest's kernel has handled the interrupt when it wants the next.
        while ((await button()).masked);
        times.push(performance.now() - pressed);
      }
      await control().command(['line', 'button', 'pulse']);
    });
    // This machine may be busy with something else for a moment, not each time.
    expect(Math.min(...times)).toBeLessThan(100);
  });

  it(`loses none of ${edges} edges, and tells none twice`, async () => {
    const before = (await button()).interrupts;
    const counted = await monitored(
      `-e both -n ${edges}`,
      async () => {
        for (let i = 0; i < edges; i++) await move((i + 1) % 2);
      },
      'wc -l </tmp/edges',
    );
    expect(counted).toBe(`${edges}\n`);
    const { delivered, coalesced } = (await button()).interrupts;
    expect(delivered - before.delivered).toBe(edges);
    expect(coalesced - before.coalesced).toBe(0);
  });
}
