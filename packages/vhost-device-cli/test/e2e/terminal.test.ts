import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const PROGRAM = fileURLToPath(new URL('../fixtures/program.mjs', import.meta.url));
const SCRIPT = spawnSync('script', ['--version']).error === undefined;
const ESCAPE = String.fromCharCode(0x1b);

/** What the fixture shows on a terminal. */
function onTerminal(text: string, environment: NodeJS.ProcessEnv = {}): string {
  const command = `'${process.execPath}' '${PROGRAM}' say '${text}' >/dev/null`;
  const { NO_COLOR: _, ...env } = process.env;
  const result = spawnSync('script', ['-qec', command, '/dev/null'], {
    encoding: 'utf8',
    env: { ...env, TERM: 'xterm', ...environment },
  });
  return result.stdout;
}

// `script` of util-linux makes a terminal for a program.
describe.skipIf(!SCRIPT)('the log on a terminal (needs script of util-linux)', () => {
  it('is readable and in colours', () => {
    const shown = onTerminal('hello');
    expect(shown).toContain(`${ESCAPE}[32mINFO${ESCAPE}[39m`);
    expect(shown).toContain('said hello');
    expect(shown).not.toContain('"msg"');
  });

  it('has no colours with NO_COLOR', () => {
    const shown = onTerminal('hello', { NO_COLOR: '1' });
    expect(shown).toMatch(/\[\d\d:\d\d:\d\d\.\d{3}\] INFO: said hello/);
    expect(shown).not.toContain(ESCAPE);
  });

  it('shows control characters of a peer, and obeys none', () => {
    const shown = onTerminal(`a${ESCAPE}[2Jb\u009b31mc\\d`, { NO_COLOR: '1' });
    expect(shown).toContain('said a\\u001b[2Jb\\u009b31mc\\d');
    expect(shown).not.toContain(ESCAPE);
    expect(shown).not.toContain('\u009b');
  });
});
