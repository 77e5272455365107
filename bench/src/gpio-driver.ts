// The guest as a process of its own: node gpio-driver.js <socket> <seconds> [control socket]
// Prints what it measured of requests one at a time, 64 at a time, and of edges, as JSON.
import { VhostUserFrontend } from '@node-vmm/vhost-user-master';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { EdgeInjector } from './edge-injector.ts';
import { GpioLoad, type GpioMeasured } from './gpio-load.ts';

const WARM_UP_SECONDS = 0.3;
const DEPTHS = [1, 64];
const EDGES = 1000;

const [path, seconds, control] = process.argv.slice(2);
if (path === undefined || seconds === undefined) {
  throw new TypeError('Cannot start: give a socket path and seconds');
}
const poller = new MainPoller();
const frontend = await VhostUserFrontend.connect({ path, poller, waitMs: 10_000 });
const load = new GpioLoad();
await load.start(frontend);
const results: GpioMeasured[] = DEPTHS.map((depth) => {
  load.requests(depth, WARM_UP_SECONDS);
  return load.requests(depth, Number(seconds));
});
if (control !== undefined) {
  const injector = new EdgeInjector(control);
  const inject = (): void => injector.pulse(0);
  const settle = (): void => injector.settle();
  load.edges(EDGES / 10, inject, settle);
  results.push(load.edges(EDGES, inject, settle));
  injector.close();
}
console.log(JSON.stringify(results));
frontend.close();
poller.close();
load.close();
