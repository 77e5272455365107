// The guest as a process of its own: node entropy-driver.js <socket> <scenarios as JSON>
import { VhostUserFrontend } from '@node-vmm/vhost-user-master';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { EntropyLoad, type Scenario } from './entropy-load.ts';

const WARM_UP_SECONDS = 0.3;

const [path, json] = process.argv.slice(2);
if (path === undefined || json === undefined) {
  throw new TypeError('Cannot start: give a socket path and scenarios');
}
const poller = new MainPoller();
const frontend = await VhostUserFrontend.connect({ path, poller, waitMs: 10_000 });
const load = new EntropyLoad();
await load.start(frontend);
const scenarios = JSON.parse(json) as Scenario[];
const results = scenarios.map((scenario) => {
  load.run({ ...scenario, seconds: WARM_UP_SECONDS });
  return load.run(scenario);
});
console.log(JSON.stringify(results));
frontend.close();
poller.close();
load.close();
