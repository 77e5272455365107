import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { DaemonProgram } from '@node-vmm/vhost-user-backend/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QemuGuest, type QemuKind, qemuStatus } from '../../src/box/index.ts';
import { SCALE } from './scale.ts';

// QEMU that cannot connect to a back-end again does not have to: the serving processes die under load.
const KILLS = SCALE.kills;
const QEMUS: readonly QemuKind[] = ['installed', 'newest'];
const cases = QEMUS.map((qemu) => {
  const { ready, state, reason } = qemuStatus(qemu);
  const suffix = ready ? '' : ` (skipped, ${state}: ${reason})`;
  return { qemu, ready, title: `the ${qemu} QEMU${suffix}` };
});
const main = (name: string): URL =>
  new URL(`../../../packages/vhost-device-${name}/dist/main.js`, import.meta.url);

/** Process id of what serves for a supervisor, 0 while there is none. */
const serving = ({ pid }: DaemonProgram): number =>
  Number.parseInt(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'), 10) || 0;

for (const { qemu, ready, title } of cases) {
  describe.skipIf(!ready)(`supervised devices behind ${title}`, () => {
    let i2c: DaemonProgram;
    let rng: DaemonProgram;
    let guest: QemuGuest;

    beforeAll(async () => {
      const board = ['--simulate=24c02@0x50', '--supervised'];
      i2c = await DaemonProgram.start({ main: main('i2c'), args: board });
      rng = await DaemonProgram.start({ main: main('rng'), args: ['--supervised'] });
      guest = await QemuGuest.boot({
        name: `qemu-supervised-${qemu}`,
        qemu,
        vhostUser: [
          { kind: 'i2c', socket: i2c.socketPath() },
          { kind: 'rng', socket: rng.socketPath() },
        ],
      });
    });

    afterAll(async () => {
      await guest?.stop();
      for (const daemon of [i2c, rng]) {
        expect(await daemon?.stop()).toEqual({ code: 0, signal: null });
      }
    });

    it(`survive ${KILLS} kills of their serving processes under load`, async () => {
      const bus = await guest.sh("i2cdetect -l | sed -n 's/^i2c-\\([0-9]*\\).*virtio.*/\\1/Ip'");
      const n = Number(bus.trim());
      // Each transfer and each read has to come back right, or the loop says where it ended.
      await guest.sh(
        `cat > /tmp/load <<'X'
i=0
while [ ! -e /tmp/enough ]; do
  [ "$(i2ctransfer -y ${n} w1@0x50 0x10 r2)" = "0xff 0xff" ] || { echo i2c $i; exit 1; }
  [ "$(dd if=/dev/hwrng bs=64 count=1 2>/dev/null | wc -c)" = 64 ] || { echo rng $i; exit 1; }
  i=$((i + 1))
done
echo served $i
X
(sh /tmp/load > /tmp/said 2>&1; touch /tmp/done) > /dev/null 2>&1 &`,
      );
      const kill = async (daemon: DaemonProgram): Promise<void> => {
        await expect.poll(() => serving(daemon), { timeout: 60_000 }).toBeGreaterThan(0);
        process.kill(serving(daemon), 'SIGKILL');
      };
      for (let i = 0; i < KILLS; i++) {
        await kill(i % 2 === 0 ? i2c : rng);
        // One that is still starting dies as well as one that serves.
        await sleep(400 + 150 * (i % 7));
      }
      const said = await guest.sh(
        'touch /tmp/enough; while [ ! -e /tmp/done ]; do sleep 1; done; cat /tmp/said',
        { timeoutMs: 120_000 },
      );
      expect(said).toMatch(/^served [1-9]/);
      const restarts = (daemon: DaemonProgram): number =>
        daemon.stderr.split('serving process ended').length - 1;
      expect(restarts(i2c) + restarts(rng)).toBeGreaterThanOrEqual(KILLS - 1);
    });
  });
}
