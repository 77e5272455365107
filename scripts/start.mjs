// `npm start`: the main job. Without arguments on the embedded simulated hypervisor, with `--box` on
// a real Xen in QEMU (`--box --bed NAME` on a certain one).
import { misused, readArguments } from './arguments.mjs';
import { bootstrap, run } from './bootstrap.mjs';

const NAME = 'npm start';
const USAGE = `Usage: npm start -- [--verbose] [--stay] [--control-socket <path>] [--metrics <address>]
       npm start -- --box [--bed <name>]

Installs and builds what is missing, then does the main job: a guest drives an I2C adapter that the
bridge gives it and vhost-device-i2c serves.

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
    verbose: { type: 'boolean' },
    stay: { type: 'boolean' },
    'control-socket': { type: 'string' },
    metrics: { type: 'string' },
    box: { type: 'boolean' },
    bed: { type: 'string' },
  },
});
if (values.bed !== undefined && !values.box) misused(NAME, '--bed is for --box');
for (const name of ['verbose', 'stay', 'control-socket', 'metrics']) {
  if (values.box && values[name] !== undefined) misused(NAME, `--${name} is not for --box`);
}

await bootstrap();
if (values.box) {
  const bed = values.bed === undefined ? [] : ['--bed', values.bed];
  await run(process.execPath, ['test-harness/dist/box/cli.js', 'run', ...bed, 'i2c']);
} else {
  const options = ['verbose', 'stay'].filter((name) => values[name]).map((name) => `--${name}`);
  for (const name of ['control-socket', 'metrics']) {
    if (values[name] !== undefined) options.push(`--${name}`, values[name]);
  }
  await run(process.execPath, ['apps/demo/dist/main.js', ...options]);
}
