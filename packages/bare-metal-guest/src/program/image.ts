import { assemble } from '../x86/assembler.ts';
import { COMMAND_LINE } from './command-line.ts';
import { ENTRY } from './entry.ts';
import { GPIO } from './gpio.ts';
import { HOSTILE } from './hostile.ts';
import { I2C } from './i2c.ts';
import { INTERRUPTS } from './interrupts.ts';
import { NUMBERS } from './numbers.ts';
import { REQUESTS } from './requests.ts';
import { RNG } from './rng.ts';
import { SAY } from './say.ts';
import { VIRTIO } from './virtio.ts';

/** Ours: guest physical address to which the image is loaded and at which it is entered: 1 MiB. */
export const IMAGE_BASE = 0x10_0000;

/** The guest's program as text, for {@link assemble} or for GNU as. */
export function guestText(): string {
  const parts = [NUMBERS, ENTRY, SAY, INTERRUPTS, COMMAND_LINE, VIRTIO, REQUESTS];
  return [...parts, RNG, I2C, GPIO, HOSTILE].join('\n');
}

/** The guest as a raw image for {@link IMAGE_BASE}. */
export function guestImage(): Uint8Array<ArrayBuffer> {
  return assemble(guestText(), IMAGE_BASE).bytes;
}
