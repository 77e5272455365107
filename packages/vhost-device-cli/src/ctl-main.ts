#!/usr/bin/env node
// Loads the program when its signals are in place: until then SIGUSR1 would open a debugger's port.
import { runProgram } from './run-program.ts';

await runProgram('vhost-device-ctl', async () => (await import('./ctl.ts')).main);
