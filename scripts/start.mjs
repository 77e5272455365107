// `npm start`: the main job. Without arguments for a guest on /dev/kvm or, where that does not work, on the
// simulated hypervisor, with `--box` on a real Xen in QEMU (`--box --bed NAME` on a certain one).
import { misused, readArguments } from './arguments.mjs';
import { bootstrap, run } from './bootstrap.mjs';

const NAME = 'npm start';
const USAGE = `Usage: npm start -- [--simulated] [--verbose] [--stay]
                [--control-socket <path>] [--metrics <address>]
       npm start -- --box [--bed <name>]

Installs and builds what is missing, then does the main job: a guest drives devices that the bridge gives
it and our daemons serve; on /dev/kvm where that works, else on a simulated machine.

  --simulated    on the simulated machine, also where /dev/kvm works
  --verbose      show the programs' logs
  --stay         leave the machine there when its guest is done, until Ctrl-C
  --control-socket <path>
                 answer "xen-vhost-master status --control-socket <path>" there
  --metrics <address>
                 serve metrics to Prometheus: path of a socket, or [HOST:]PORT
  --box          on a real Xen in QEMU, after npm run box:setup
  --bed <name>   on which one: npm run box lists them; default: the newest
  -h, --help     print this
`;

const { values } = readArguments(NAME, USAGE, {
  options: {
    simulated: { type: 'boolean' },
    verbose: { type: 'boolean' },
    stay: { type: 'boolean' },
    'control-socket': { type: 'string' },
    metrics: { type: 'string' },
    box: { type: 'boolean' },
    bed: { type: 'string' },
  },
});
if (values.bed !== undefined && !values.box) misused(NAME, '--bed is for --box');
for (const name of ['simulated', 'verbose', 'stay', 'control-socket', 'metrics']) {
  if (values.box && values[name] !== undefined) misused(NAME, `--${name} is not for --box`);
}

await bootstrap();
if (values.box) {
  const bed = values.bed === undefined ? [] : ['--bed', values.bed];
  await run(process.execPath, ['test-harness/dist/box/cli.js', 'run', ...bed, 'i2c']);
} else {
  const flags = ['simulated', 'verbose', 'stay'].filter((name) => values[name]);
  const options = flags.map((name) => `--${name}`);
  for (const name of ['control-socket', 'metrics']) {
    if (values[name] !== undefined) options.push(`--${name}`, values[name]);
  }
  await run(process.execPath, ['apps/demo/dist/main.js', ...options]);
}
