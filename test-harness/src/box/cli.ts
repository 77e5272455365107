import { setupBox } from './setup.ts';

await setupBox();
