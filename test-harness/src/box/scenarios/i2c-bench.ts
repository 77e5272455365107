import { bridgeArguments } from '../guest-devices.ts';
import { bootI2cBox } from '../i2c-setup.ts';
import type { XenBox } from '../xen-box.ts';
import type { Scenario, ScenarioContext } from './scenario.ts';

const ROUNDS = 3;
/** `i2cdump` reads every byte of a chip in a transfer of its own, all in one process. */
const TRANSFERS_PER_DUMP = 256;
const DUMPS = 4;

/** Prints when the transfers began and ended. */
const SCRIPT = [
  'start=$(cut -d" " -f1 /proc/uptime)',
  `i=0; while [ $i -lt ${DUMPS} ]; do i2cdump -y 0 0x50 b >/dev/null || exit 1; i=$((i+1)); done`,
  'echo "$start $(cut -d" " -f1 /proc/uptime)"',
].join('; ');

async function measure(
  box: XenBox,
  mode: string,
  round: number,
  { say }: ScenarioContext,
): Promise<number> {
  const name = `${mode}-${round}`;
  const told = bridgeArguments(box.bed, { [name]: ['i2c'] });
  const bridge = box.spawn(
    `bridge-${name}`,
    `xen-vhost-master -s /run/vhost --notification ${mode} ${told}`,
  );
  await bridge.waitFor(/watching for devices/);
  const guest = await box.createDomain({ name, devices: ['i2c'] });
  await guest.waitUp();
  const [start, end] = (await guest.sh(SCRIPT, { timeoutMs: 120_000 }))
    .trim()
    .split(' ')
    .map(Number);
  await guest.destroy();
  await bridge.stop();
  const rate = (TRANSFERS_PER_DUMP * DUMPS) / ((end ?? 0) - (start ?? 0));
  say(`${mode.padEnd(6)} round ${round}: ${rate.toFixed(0)} transfers/s`);
  return rate;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** Transfers per second in a guest, with the kernel's help and without. */
export const i2cBench: Scenario = {
  name: 'i2c-bench',
  description: 'transfers per second with kernel-assisted and with user-space notification',
  needs: ['guest-devices'],
  async run(context) {
    const { bed, say } = context;
    const { box, stop } = await bootI2cBox('i2c-bench', { bed: bed.name });
    try {
      box.spawn('daemon', 'vhost-device-i2c -s /run/vhost/i2c.sock -c 1 --simulate=24c02@0x50');
      const modes = bed.features.includes('kernel-notification')
        ? (['kernel', 'user'] as const)
        : (['user'] as const);
      const rates = { kernel: [] as number[], user: [] as number[] };
      for (let round = 1; round <= ROUNDS; round++) {
        for (const mode of modes) {
          rates[mode].push(await measure(box, mode, round, context));
        }
      }
      const [kernel, user] = [median(rates.kernel), median(rates.user)];
      const ratio =
        kernel > 0 ? `, kernel ${kernel.toFixed(0)}/s, ratio ${(kernel / user).toFixed(2)}` : '';
      say(`median on ${bed.name}: user ${user.toFixed(0)}/s${ratio}`);
    } finally {
      await stop();
    }
  },
};
