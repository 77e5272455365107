// What `npm start` runs: the main job, in real processes over real sockets and eventfds, for a guest on /dev/kvm
// or, where there is none, on a simulated machine.
import type { Main } from '@node-vmm/vhost-device-cli';
import {
  packageVersion,
  parseCommandLine,
  parseMetricsAddress,
} from '@node-vmm/vhost-device-cli/options';
import { Command } from 'commander';
import type { DemoParts } from './demo.ts';
import { demoOnKvm, kvmProblem } from './kvm-demo.ts';
import { NarratedLog } from './narrated-log.ts';
import { Narrator } from './narrator.ts';
import { demoOnSimulation } from './simulated-machine.ts';
import { Watched, type WatchOptions } from './watched.ts';

interface DemoOptions extends WatchOptions {
  readonly simulated?: boolean;
  readonly verbose?: boolean;
  readonly stay?: boolean;
}

function createCommand(): Command {
  return new Command('demo')
    .description('A guest on /dev/kvm, or on a simulated machine, served by daemons of its own.')
    .version(packageVersion(new URL('../package.json', import.meta.url)), '-V, --version')
    .option('--simulated', 'on the simulated machine, also where /dev/kvm works')
    .option('--verbose', 'show the log of the bridge')
    .option('--stay', 'leave the machine there when its guest is done, until Ctrl-C')
    .option('--control-socket <path>', 'answer "xen-vhost-master status" on this socket')
    .option(
      '--metrics <address>',
      'serve metrics to Prometheus: path of a socket, or\n[HOST:]PORT',
    );
}

/** What `npm start` does. */
export const main: Main = async (argv, program) => {
  const parsed = parseCommandLine<DemoOptions>(createCommand(), argv);
  if ('print' in parsed) return program.print(parsed.print);
  const { options } = parsed;
  const { verbose = false, simulated = false, stay = false } = options;
  if (options.metrics !== undefined) parseMetricsAddress(options.metrics);
  const narrator = new Narrator('bridge');
  const watched = new Watched();
  const own = await program.start({ level: verbose ? 'debug' : 'warn' }, watched.status);
  const { signals } = program;
  const logger = verbose ? own : new NarratedLog(narrator, signals);
  const watch: DemoParts['watch'] = (bridge, sockets) =>
    watched.open(bridge, sockets, options, logger);
  const parts = { narrator, logger, signals, stay, watch };
  if (simulated) return await demoOnSimulation(parts);
  const problem = kvmProblem();
  if (problem === undefined) return await demoOnKvm(parts);
  narrator.say(`no guest on /dev/kvm, but a simulated machine: ${problem}`);
  return await demoOnSimulation(parts);
};
