import { FrontEnd } from '@node-vmm/vhost-user-backend/testing';
import { featureWord, VIRTIO_F_VERSION_1 } from '@node-vmm/virtio-bindings';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DOM0_ROOT, SystemdContainer, systemdStatus } from '../../src/box/index.ts';

const PATIENCE = { timeout: 60_000 };
const DEVICES = ['gpio', 'i2c', 'rng', 'template'] as const;
type Device = (typeof DEVICES)[number];
const { ready, state, reason } = systemdStatus();
const why = ready ? '' : ` (skipped, ${state}: ${reason})`;

/** What instances of the units get as options. */
const OPTIONS: Record<Device, string> = {
  gpio: '--device-list s8',
  i2c: '--simulate 24c02@0x50',
  rng: '--max-bytes 4096 --period 1000',
  template: '--log-level info',
};
/** Most that `systemd-analyze security` is to find; the READMEs say so. */
const EXPOSURE: Record<string, number> = {
  'vhost-device-gpio@0.service': 0.4,
  'vhost-device-i2c@0.service': 0.4,
  'vhost-device-rng@0.service': 0.2,
  'vhost-device-template@0.service': 0.2,
  'xen-vhost-master.service': 0.9,
};
const BRIDGE = 'xen-vhost-master.service';

describe.skipIf(!ready)(`daemons and bridge under systemd${why}`, () => {
  let container: SystemdContainer;

  const show = async (unit: string, property: string): Promise<string> =>
    (await container.sh(`systemctl show -P ${property} ${unit}`)).trim();
  const mainPid = (unit: string): Promise<string> => show(unit, 'MainPID');
  const journal = (unit: string): Promise<string> =>
    container.sh(`journalctl --sync && journalctl --no-pager -o cat -u ${unit}`);
  const active = (unit: string): Promise<string> => show(unit, 'ActiveState');
  /** Waits until a service is active in another process. */
  const another = (unit: string, pid: string): Promise<void> =>
    expect
      .poll(
        async () => (await active(unit)) === 'active' && (await mainPid(unit)) !== pid,
        PATIENCE,
      )
      .toBe(true);
  /** A front-end of this machine connects to a socket that systemd has, and is answered. */
  const features = async (device: Device, instance: string): Promise<bigint> => {
    const frontEnd = new FrontEnd(container.path(`/run/vhost/${device}.sock${instance}`));
    try {
      return await frontEnd.ask('VHOST_USER_GET_FEATURES', undefined);
    } finally {
      frontEnd.close();
    }
  };

  beforeAll(async () => {
    container = await SystemdContainer.boot({
      packages: [
        'apps/xen-vhost-master',
        'packages/vhost-device-cli',
        ...DEVICES.map((device) => `packages/vhost-device-${device}`),
      ],
    });
    for (const device of DEVICES) {
      const file = `/etc/default/vhost-device-${device}`;
      await container.sh(`echo 'OPTIONS="${OPTIONS[device]}"' > ${file}`);
    }
  });

  afterAll(async () => {
    await container?.stop();
  });

  it('have unit files in which systemd finds no fault', async () => {
    const system = '/etc/systemd/system';
    const templates = Object.keys(EXPOSURE).map((name) => `${system}/${name.replace('@0', '@')}`);
    const sockets = templates
      .filter((name) => name.includes('@'))
      .map((name) => name.replace('.service', '.socket'));
    const names = [...templates, ...sockets];
    expect(await container.exec(`systemd-analyze verify --man=no ${names.join(' ')}`)).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    });
  });

  it.each(Object.entries(EXPOSURE))('%s is exposed at %f at most', async (unit, most) => {
    const threshold = Math.round(most * 10);
    const command = `systemd-analyze security --no-pager --threshold=${threshold} ${unit}`;
    const { code, stdout } = await container.exec(command);
    // The line that the README quotes.
    expect({ code, line: stdout.trim().split('\n').at(-1) }).toMatchObject({
      code: 0,
      line: expect.stringContaining(`Overall exposure level for ${unit}: `),
    });
  });

  it.each(DEVICES)(
    'a first connection starts %s, which answers it; a stop is clean',
    async (device) => {
      const unit = `vhost-device-${device}@0`;
      await container.sh(`systemctl start ${unit}.socket`);
      expect(await active(`${unit}.service`)).toBe('inactive');
      const version1 = featureWord(VIRTIO_F_VERSION_1);
      expect((await features(device, '0')) & version1).toBe(version1);
      await expect.poll(() => active(`${unit}.service`), PATIENCE).toBe('active');
      expect(await show(`${unit}.service`, 'StatusText')).toBe('1 of 1 devices served');
      const pid = await mainPid(`${unit}.service`);
      // The next one finds it there.
      await features(device, '0');
      expect(await mainPid(`${unit}.service`)).toBe(pid);
      await container.sh(`systemctl stop ${unit}.socket ${unit}.service`);
      expect(await active(`${unit}.service`)).toBe('inactive');
      expect(await show(`${unit}.service`, 'Result')).toBe('success');
      expect(await show(`${unit}.service`, 'ExecMainStatus')).toBe('0');
      const log = await journal(`${unit}.service`);
      expect(log).toMatch(
        /"msg":"starting"[\s\S]*"msg":"device ready"[\s\S]*"front-end connected"/,
      );
      expect(log).toMatch(/"signal":"SIGTERM"[^}]*"msg":"ending"/);
      // What the sandbox refuses it does not ask for.
      expect(log).not.toMatch(/EPERM|EACCES|EROFS|not permitted|denied|Warning/);
    },
  );

  it('serves a request in its sandbox: a driver reads entropy', async () => {
    await container.sh('systemctl start vhost-device-rng@1.service');
    const read = `node ${DOM0_ROOT}/examples/dist/read-entropy.js /run/vhost/rng.sock1`;
    const [first, second] = [await container.sh(read), await container.sh(read)];
    expect(first).toMatch(/^[0-9a-f]{32}\n$/);
    expect(second).not.toBe(first);
    const pid = await mainPid('vhost-device-rng@1.service');
    const status = await container.sh(`cat /proc/${pid}/status`);
    expect(status).toMatch(/^CapBnd:\t0+$/m);
    expect(status).toMatch(/^Seccomp:\t2$/m);
    expect(status).not.toMatch(/^Uid:\t0\t/m);
  });

  it('is driven through its control socket, and keeps its state over a restart', async () => {
    const unit = 'vhost-device-i2c@kept.service';
    const chip = 'vhost-device-ctl /run/vhost-device-i2c/kept/control.sock chip 0x50';
    await container.sh(`systemctl start ${unit}`);
    await container.sh(`${chip} contents 0x10 c0ffee`);
    await container.sh(`systemctl restart ${unit}`);
    const kept = JSON.parse(await container.sh(chip)) as { contents: string };
    expect(kept.contents.slice(2 * 0x0f, 2 * 0x14)).toBe('ffc0ffeeff');
    const pid = await mainPid(unit);
    await container.sh(`kill -KILL ${pid}`);
    await another(unit, pid);
    expect(JSON.parse(await container.sh(chip))).toEqual(kept);
  });

  it('serves in a process of its own (--supervised) likewise, and both end at a stop', async () => {
    const unit = 'vhost-device-rng@supervised.service';
    await container.sh(`echo OPTIONS=--supervised > /etc/default/vhost-device-rng@supervised`);
    await container.sh(`systemctl start ${unit}`);
    await features('rng', 'supervised');
    expect(await show(unit, 'TasksCurrent')).not.toBe('0');
    await container.sh(`systemctl stop ${unit}`);
    expect(await show(unit, 'Result')).toBe('success');
    const log = await journal(unit);
    expect(log).not.toMatch(/EPERM|EACCES|EROFS|not permitted|denied|Warning|SIGKILL/);
  });

  it('is not started again for a bad command line', async () => {
    const unit = 'vhost-device-gpio@bad.service';
    await container.sh('echo OPTIONS=--no-such-option > /etc/default/vhost-device-gpio@bad');
    expect((await container.exec(`systemctl start ${unit}`)).code).not.toBe(0);
    expect(await show(unit, 'ExecMainStatus')).toBe('2');
    expect(await show(unit, 'NRestarts')).toBe('0');
    expect(await journal(unit)).toContain('see vhost-device-gpio --help');
  });

  describe('a watchdog', () => {
    /** Stops a service's process, which then says nothing; waits until another serves. */
    const stuck = async (unit: string): Promise<string> => {
      const pid = await mainPid(unit);
      await container.sh(`kill -STOP ${pid}`);
      await another(unit, pid);
      return await journal(unit);
    };
    const shorten = (unit: string, more = ''): Promise<string> => {
      const directory = `/run/systemd/system/${unit}.d`;
      const text = `[Service]\\nWatchdogSec=4\\n${more}`;
      return container.sh(
        `mkdir -p ${directory} && printf '${text}' > ${directory}/test.conf && systemctl daemon-reload`,
      );
    };

    it('ends a daemon that is stuck, and another serves', async () => {
      const unit = 'vhost-device-rng@dog.service';
      await shorten(unit);
      await container.sh(`systemctl start ${unit}`);
      expect(await stuck(unit)).toMatch(/Watchdog timeout \(limit 4s\)!/);
      await features('rng', 'dog');
    });

    it('ends the bridge that is stuck; it is active when it watches, and a stop is clean', async () => {
      // There is no Xen: a simulated machine with one device, of a daemon that its connection starts.
      const program = `${DOM0_ROOT}/apps/xen-vhost-master/test/fixtures/simulated-bridge.mjs`;
      const start = `ExecStart=\\nExecStart=node ${program} -s /run/vhost/rng.sockbridge -n rng\\n`;
      await shorten(BRIDGE, `${start}[Unit]\\nConditionPathExists=\\n`);
      await container.sh(`systemctl start vhost-device-rng@bridge.socket ${BRIDGE}`);
      expect(await active(BRIDGE)).toBe('active');
      await expect.poll(() => show(BRIDGE, 'StatusText'), PATIENCE).toBe('1 devices, 1 guests');
      await expect.poll(() => active('vhost-device-rng@bridge.service'), PATIENCE).toBe('active');
      expect(await stuck(BRIDGE)).toMatch(/Watchdog timeout \(limit 4s\)!/);
      await expect.poll(() => journal(BRIDGE), PATIENCE).toMatch(/Watchdog[\s\S]*"device up"/);
      // What it keeps of its guests outlives a restart, and a stop with a start after it.
      const kept = '/run/xen-vhost-master/7.json';
      await container.sh(`echo kept > ${kept} && systemctl restart ${BRIDGE}`);
      expect(await container.sh(`cat ${kept}`)).toBe('kept\n');
      await container.sh(`systemctl stop ${BRIDGE} && systemctl start ${BRIDGE}`);
      expect(await container.sh(`cat ${kept}`)).toBe('kept\n');
      await container.sh(`systemctl stop ${BRIDGE}`);
      expect(await show(BRIDGE, 'Result')).toBe('success');
      expect(await show(BRIDGE, 'ExecMainStatus')).toBe('0');
      expect(await journal(BRIDGE)).toMatch(/"signal":"SIGTERM"[^}]*"msg":"ending"/);
    });
  });

  it('of the bridge without Xen is not started at all', async () => {
    await container.sh(`rm -rf /run/systemd/system/${BRIDGE}.d && systemctl daemon-reload`);
    await container.sh(`systemctl start ${BRIDGE}`);
    expect(await show(BRIDGE, 'ConditionResult')).toBe('no');
    expect(await active(BRIDGE)).toBe('inactive');
  });
});
