import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { arch } from 'node:process';
import { Kvm, KvmSysError, kvmStatus } from '@node-vmm/kvm-sys';
import { EXIT_FAILURE, EXIT_OK } from '@node-vmm/vhost-device-cli';
import { errorMessage, hex } from '@node-vmm/vmm-sys-util';
import { pressButton } from './button.ts';
import { daemonCommand } from './daemons.ts';
import type { DemoParts } from './demo.ts';
import { KVM_GUEST_MEMORY, type KvmGuestResult, runKvmGuest } from './kvm-guest.ts';
import { Narrator } from './narrator.ts';

/** Ours: edges of its button that the guest waits for. */
const EDGES = 10;

/** Why there can be no guest on /dev/kvm here, undefined where there can. */
export function kvmProblem(): string | undefined {
  if (arch !== 'x64') return `the guest for KVM is for x86_64, and this is ${arch}`;
  const [remedy] = kvmStatus().remedies;
  if (kvmStatus().device !== 'usable') return remedy ?? '/dev/kvm cannot be used';
  try {
    using kvm = Kvm.open();
    kvm.createVm().close();
  } catch (error) {
    if (KvmSysError.is(error)) return error.message;
    throw error;
  }
  return undefined;
}

/** The demo on /dev/kvm. @returns the exit code */
export async function demoOnKvm({
  narrator: bridge,
  logger,
  signals,
  stay,
  watch,
}: DemoParts): Promise<number> {
  const guest = new Narrator('guest');
  const directory = mkdtempSync(join(tmpdir(), 'demo-'));
  const control = join(directory, 'gpio.control');
  const guestGone = new AbortController();
  let pressed: Promise<void> = Promise.resolve();
  const onLine = (line: string): void => {
    guest.say(line);
    const [, edges, gpio] = /^gpio: waiting for (\d+) edges of line (\d+)$/.exec(line) ?? [];
    if (gpio === undefined) return;
    bridge.say(`pressing the button on line ${gpio} through vhost-device-gpio's control socket`);
    pressed = pressButton(control, gpio, Number(edges), guestGone.signal).catch((error) => {
      if (signals.ending) return;
      bridge.say(`the button cannot be pressed: ${errorMessage(error)}`);
    });
  };
  bridge.say(
    `a virtual machine of /dev/kvm: ${KVM_GUEST_MEMORY >> 20} MiB of RAM in a memfd, one vCPU in a thread of its own`,
  );
  bridge.say('starting vhost-device-i2c --simulate, -rng and -gpio, and connecting to them');
  try {
    let exitCode: number = EXIT_OK;
    await runKvmGuest({
      backends: new Map([
        ['i2c', daemonCommand('i2c', '--simulate')],
        ['rng', daemonCommand('rng')],
        ['gpio', daemonCommand('gpio', '-l', 's4', '--control-socket', control)],
      ]),
      commandLine: `gpio.edges=${EDGES}`,
      logger,
      ended: signals.ended,
      watch,
      onLine,
      onReady: (devices) => {
        const places = devices.map(({ base }) => hex(base)).join(', ');
        bridge.say(`features negotiated, guest memory shared; virtio-mmio at ${places}`);
        bridge.say('starting the guest, a program in machine code');
      },
      onEnd: async (result) => {
        guestGone.abort();
        await pressed;
        exitCode = tell(bridge, result);
        if (!stay || exitCode !== EXIT_OK || signals.ending) return;
        bridge.say('the machine stays until Ctrl-C');
        await signals.ended;
      },
    });
    return exitCode;
  } finally {
    guestGone.abort();
    rmSync(directory, { recursive: true, force: true });
    bridge.say('everything is closed');
  }
}

function tell(bridge: Narrator, { end, reads, writes }: KvmGuestResult): number {
  if (end === undefined || end.kind === 'closed') return EXIT_OK;
  bridge.say(
    `served ${reads} register reads and ${writes} writes; notifications went to the daemons as eventfds, and interrupts came back as such`,
  );
  if (end.kind === 'failed') bridge.say(end.error.message);
  return end.kind === 'guest' && end.code === 0 ? EXIT_OK : EXIT_FAILURE;
}
