import { writeSync } from 'node:fs';
import process from 'node:process';

const STDOUT = 1;
const ORIGIN = Number(process.env['NODE_VMM_DEMO_START'] ?? Date.now());
// The guest's times count from the same moment.
process.env['NODE_VMM_DEMO_START'] = String(ORIGIN);

/** Tells on standard output what happens, with the time since the start. */
export class Narrator {
  readonly #who: string;

  constructor(who: string) {
    this.#who = who.padEnd(6);
  }

  say(text: string): void {
    const seconds = ((Date.now() - ORIGIN) / 1000).toFixed(2).padStart(5);
    try {
      writeSync(STDOUT, `${seconds} s  ${this.#who}  ${text}\n`);
    } catch {
      // A reader who has seen enough: the demo goes on, and its exit code says how it went.
    }
  }
}
