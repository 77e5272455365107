import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';

it('the machine of the README runs and prints what its comments say', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const code = /```js\n(.*?)```/s.exec(readme)?.[1] ?? '';
  const said = [...code.matchAll(/^(?:console|irq)\..*; \/\/ (.*)$/gm)].map(([, text]) => text);
  // Within the package, so that its imports are found, and where git does not look.
  const directory = new URL('../../dist/.readme/', import.meta.url);
  mkdirSync(directory, { recursive: true });
  const script = new URL('machine.mjs', directory);
  writeFileSync(script, code);
  const printed = execFileSync(process.execPath, [script.pathname], { encoding: 'utf8' });
  rmSync(directory, { recursive: true });
  expect(said).toHaveLength(4);
  expect(printed.trimEnd().split('\n')).toEqual(said);
});
