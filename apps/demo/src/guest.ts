// Loads the guest when its signals are in place, as every program of ours.
import { runProgram } from '@node-vmm/vhost-device-cli';

await runProgram('demo-guest', async () => (await import('./guest-program.ts')).main);
