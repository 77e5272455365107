#!/usr/bin/env node
// Nothing but vhost-device-cli is loaded before the signals are in place: until then SIGUSR1 would open
// a debugger's port.
import { runProgram } from '@node-vmm/vhost-device-cli';

await runProgram('vhost-device-gpio', async () => (await import('./program.ts')).main);
