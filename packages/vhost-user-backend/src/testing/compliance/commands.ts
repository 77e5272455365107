import { ok } from 'node:assert/strict';
import { errorCode, errorMessage } from '@node-vmm/vmm-sys-util';
import { Random } from './random.ts';
import { connect, type DeviceCase, type DeviceSubject, probe, serves } from './subject.ts';

/** Commands of each case. */
const COMMANDS = 200;
/** What a device says to words that it cannot do anything with. */
const REFUSALS = ['USAGE', 'REFUSED', 'UNSUPPORTED'];
const NONSENSE = [
  ...[
    'no-such-command',
    '__proto__',
    'constructor',
    'toString',
    '-1',
    '0',
    '1',
    '256',
    '4294967296',
  ],
  ...['1e999', 'NaN', '0x', '1.5', '@', '{}', '"', '\u{1f600}', '\u202e', 'x'.repeat(1000)],
];

/** @returns whether it was done, or refused; what else there is to say is no answer */
async function ask(subject: DeviceSubject, words: readonly string[]): Promise<void> {
  try {
    const answer = await subject.command?.(words);
    ok(answer === undefined || typeof answer === 'object', `${words.join(' ')} is no object`);
  } catch (error) {
    const code = errorCode(error);
    const said = `${words.join(' ')}: ${errorMessage(error)}`;
    ok(code !== undefined && REFUSALS.includes(code), said);
  }
}

/** What is said to a device from outside, where there is a way to say it: `DeviceSubject.command`. */
export const commandCases: readonly DeviceCase[] = [
  {
    section: 'Commands',
    name: 'words that make no sense are refused, and the device lives on',
    async run(subject) {
      if (subject.command === undefined) return;
      for (const word of NONSENSE) await ask(subject, [word]);
      await serves(subject);
    },
  },
  {
    section: 'Commands',
    name: 'commands of any words are answered while a guest is served',
    async run(subject) {
      const { command, commandWords = [] } = subject;
      if (command === undefined) return;
      const random = new Random(0xc0ffee);
      const words = [...commandWords, ...NONSENSE];
      await using bench = await connect(subject);
      for (let i = 0; i < COMMANDS; i++) {
        const said = Array.from({ length: 1 + random.below(5) }, () => random.of(words));
        // Most begin with what the device knows, if that is known.
        if (commandWords.length > 0 && random.below(4) > 0) said[0] = random.of(commandWords);
        await Promise.all([ask(subject, said), probe(bench, subject)]);
      }
    },
  },
];
