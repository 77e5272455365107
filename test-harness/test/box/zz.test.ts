import { ControlClient } from '@node-vmm/vhost-device-cli/control';
import { DaemonProgram } from '@node-vmm/vhost-user-backend/testing';
import { it } from 'vitest';
import { QemuGuest } from '../../src/box/index.ts';
import { GPIO_LINES } from './cases/gpio.ts';
import { VhostUserRelay } from './vhost-user-relay.ts';
const main = (name: string): URL => new URL(`../../../packages/vhost-device-${name}/dist/main.js`, import.meta.url);
it('gpio', async () => {
  const c = `/tmp/zz-${process.pid}.control`;
  const d = await DaemonProgram.start({ main: main('gpio'), args: [...GPIO_LINES, '--control-socket', c] });
  const control = await ControlClient.connect(c);
  const g = await QemuGuest.boot({ name: 'zz', qemu: 'newest', cpus: 2, vhostUser: [{ kind: 'gpio', socket: d.socketPath() }] });
  console.log(JSON.stringify(await g.exec('timeout 3 gpiomon --format %e -e rising -n 2 button; cat /proc/interrupts | tail -30; dmesg | tail -5', { timeoutMs: 60000 })));
  await g.sh('gpiomon --format %e -e rising -n 1 button >/tmp/edges 2>&1 & echo $! >/tmp/gpiomon');
  console.log(JSON.stringify(await g.exec('sleep 1; cat /tmp/edges; ps | grep gpiomon')));
  console.log(JSON.stringify(await control.command(['line', 'button'])), JSON.stringify(await control.command(['state'])));
  await g.stop(); control.close(); await d.stop();
  console.log(d.stderr);
}, 200000);
it('server', async () => {
  const d = await DaemonProgram.start({ main: main('i2c'), args: ['--simulate=ds1338@0x68', '--log-level', 'debug'] });
  const r = new VhostUserRelay(d.socketPath());
  const own = d.socketPath() + '-q';
  void r.connect(own);
  try {
  const g = await QemuGuest.boot({ name: 'zz', vhostUser: [{ kind: 'i2c', socket: own, listens: true }] });
  console.log(await g.sh('i2cdetect -y -r 0'));
  await g.stop(); } catch (e) { console.log(String(e)); }
  console.log(r.requests.join());
  console.log(d.stderr);
  await d.stop();
}, 200000);
