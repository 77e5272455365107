import { expect } from 'vitest';
import type { Dom0Process, XenBox, XenDomain } from '../../src/box/index.ts';

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

/** Descriptors that a process in dom0 has open. */
export async function openFds(box: XenBox, pattern: string): Promise<number> {
  return Number(await box.sh(`ls /proc/$(pgrep -f '${pattern}' | head -n 1)/fd | wc -l`));
}

/** Checks that nothing of a destroyed guest is left: xenstore, zombie domains. */
export async function expectNoResidue(box: XenBox): Promise<void> {
  const backends = await box.exec('xenstore-ls -f /local/domain/0/backend');
  expect(backends.stdout).not.toMatch(/virtio\/\d+/);
  const domains = (await box.sh('xl list')).trim().split('\n').slice(1);
  expect(domains).toHaveLength(1);
}

/** Waits for a bridge to watch for devices. */
export async function bridgeReady(bridge: Dom0Process): Promise<void> {
  await bridge.waitFor(/watching for devices/);
}
