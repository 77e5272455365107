import { expect } from 'vitest';
import type { XenBox, XenDomain } from '../../src/box/index.ts';

/** Bus number in dom0 of the adapter whose name matches. */
export async function busNumber(box: XenBox, name: string): Promise<number> {
  const found = await box.sh(`grep -l '${name}' /sys/bus/i2c/devices/i2c-*/name`);
  return Number(/i2c-(\d+)/.exec(found)?.[1]);
}

/** Runs a command 1,000 times in the guest and counts the failures. */
export async function repeat(guest: XenDomain, count: number, command: string): Promise<number> {
  const script = `f=0; i=0; while [ $i -lt ${count} ]; do ${command} || f=$((f+1)); i=$((i+1)); done; echo $f`;
  return Number(await guest.sh(script, { timeoutMs: 240_000 }));
}

/** Process id in dom0 of the node program whose command line ends with `args`. */
export async function pidOf(box: XenBox, args: string): Promise<number> {
  const script = `for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null | grep -q '^node .*${args} $' && echo $p; done`;
  const found = /\d+/.exec((await box.exec(script)).stdout);
  if (found === null) throw new Error(`Cannot find a process with "${args}" in dom0`);
  return Number(found[0]);
}

/** Descriptors that such a process has open. */
export async function openFds(box: XenBox, args: string): Promise<number> {
  const count = Number(await box.sh(`ls /proc/${await pidOf(box, args)}/fd | wc -l`));
  expect(count).toBeGreaterThan(3);
  return count;
}

/**
 * Checks that nothing of a destroyed guest is left: xenstore, zombie domains. Where the toolstack does
 * not know of the bridge, `xl destroy` returns before the bridge has let go of the guest's memory.
 */
export async function expectNoResidue(box: XenBox): Promise<void> {
  const left = async (): Promise<string[]> => {
    const { stdout } = await box.exec('xenstore-ls -f /local/domain/0/backend');
    const devices = stdout.split('\n').filter((line) => /virtio(_disk)?\/\d+/.test(line));
    const domains = (await box.sh('xl list')).trim().split('\n').slice(2);
    return [...devices, ...domains];
  };
  await expect.poll(left, { timeout: 30_000, interval: 500 }).toEqual([]);
}

/** Memory of other domains that a process of dom0 has mapped, KiB. */
export async function foreignKib(box: XenBox, pid: number): Promise<number> {
  const maps = await box.sh(`grep privcmd /proc/${pid}/maps || true`);
  return maps
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(/[- ]/).map((word) => Number.parseInt(word, 16)))
    .reduce((sum, [from = 0, to = 0]) => sum + (to - from) / 1024, 0);
}
