#!/usr/bin/env node
// Loads the program when its signals are in place: until then SIGUSR1 would open a debugger's port.
import { runProgram } from '@node-vmm/vhost-device-cli';

await runProgram('xen-vhost-master', async () => (await import('./program.ts')).main);
