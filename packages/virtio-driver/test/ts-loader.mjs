// `node --import ./ts-loader.mjs guest.ts`: tests see sources and not dist, also in the processes
// that they start.
import { register } from 'node:module';

register('./ts-hooks.mjs', import.meta.url);
