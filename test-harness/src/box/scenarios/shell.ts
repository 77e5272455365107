import type { Bed } from '../bed.ts';
import { deferred } from '../deadline.ts';
import { bridgeArguments } from '../guest-devices.ts';
import { XenBox } from '../xen-box.ts';
import type { Scenario } from './scenario.ts';

const ESCAPE = 0x1d; // Ctrl-]

const profile = (bed: Bed): string => `
PS1='dom0 \\w # '
ln -sf "$(tty)" /run/box/shell-tty
cat <<'END'
This is dom0 of a real Xen. Here are xl, xenstore-*, i2c-tools, node, and if they are built
xen-vhost-master and vhost-device-i2c. /root/plain.cfg is a guest, /root/i2c.cfg one with a virtio
I2C device. For that one start first
  xen-vhost-master --spawn "i2c=vhost-device-i2c --simulate" ${bridgeArguments(bed, { i2c: ['i2c'] })} &
and then: xl create i2c.cfg && xl console i2c
exit or Ctrl-] ends the box; inside xl console Ctrl-] only leaves the guest.
END
`;

/** True while the user is in \`xl console\`, whose own way out is Ctrl-]. */
const IN_GUEST_CONSOLE = `awk '$2 == "(xenconsole)" && $7 != 0' /proc/[0-9]*/stat`;

/** An interactive dom0; also works with commands on a pipe. */
export const shell: Scenario = {
  name: 'shell',
  description: 'an interactive shell in dom0 with everything in it',
  async run({ bed, say }) {
    say(`booting ${bed.name} ...`);
    const size = { dom0Memory: 1536, memory: 3072 };
    const box = await XenBox.boot({ bed: bed.name, name: 'shell', ...size });
    try {
      await box.writeFile('/root/.profile', profile(bed));
      for (const options of [{ name: 'plain' }, { name: 'i2c', devices: ['i2c'] as const }]) {
        const { text, prepare } = box.domainConfig(options);
        await box.writeFile(`/root/${options.name}.cfg`, text);
        if (prepare !== '') await box.sh(prepare);
      }
      await talk(box);
    } finally {
      await box.stop();
    }
  },
};

async function talk(box: XenBox): Promise<void> {
  const { stdin, stdout } = process;
  const size = (): string =>
    stdout.isTTY ? `stty rows ${stdout.rows} cols ${stdout.columns}` : ':';
  // Both terminals end lines with CR LF; one of them is enough.
  const print = (data: Buffer): void => {
    stdout.write(stdout.isTTY ? data.toString('latin1').replaceAll('\r\n', '\n') : data, 'latin1');
  };
  // script(1) gives the shell a terminal of its own in dom0.
  const channel = box.openChannel(
    `exec script --quiet --echo always --command "${size()}; exec sh -l" /dev/null`,
    { onData: print, onErrorData: print },
    { TERM: process.env['TERM'] ?? 'linux' },
  );
  const left = deferred<void>();
  const onInput = async (data: Buffer): Promise<void> => {
    if (stdin.isTTY && data.includes(ESCAPE)) {
      const { stdout: inside } = await box.exec(IN_GUEST_CONSOLE);
      if (inside === '') return left.resolve();
    }
    channel.write(data);
  };
  const onResize = (): void => {
    void box.exec(`${size()} </run/box/shell-tty`).catch(() => {});
  };
  if (stdin.isTTY) stdin.setRawMode(true);
  stdout.on('resize', onResize);
  stdin.on('data', (data) => void onInput(data).catch(left.reject));
  stdin.on('end', () => channel.end());
  try {
    await Promise.race([channel.result, left.promise]);
  } finally {
    if (stdin.isTTY) stdin.setRawMode(false);
    stdin.pause();
    stdout.off('resize', onResize);
    stdout.write('\n');
  }
}
