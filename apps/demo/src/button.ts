import { setTimeout as delay } from 'node:timers/promises';
import { ControlClient } from '@node-vmm/vhost-device-cli/control';

/** Ours: milliseconds between two presses. */
const PAUSE_MS = 5;

/**
 * Presses a button on a line of vhost-device-gpio, until the guest gets so many rising edges.
 *
 * @param path - control socket of the daemon
 * @param signal - ends it: a guest that is gone gets no edges
 * @throws {ControlError}
 */
export async function pressButton(
  path: string,
  line: string,
  edges: number,
  signal: AbortSignal,
): Promise<void> {
  using daemon = await ControlClient.connect(path);
  for (let given = 0; given < edges && !signal.aborted; ) {
    const answer = await daemon.command(['line', line, 'pulse']);
    const became = (answer['edges'] as { edge: string; became: string }[]).filter(
      ({ edge }) => edge === 'rising',
    );
    // Not one that came while another waited: both are one interrupt.
    given += became.filter(({ became: what }) => /^(delivered|latched)$/.test(what)).length;
    await delay(PAUSE_MS);
  }
}
