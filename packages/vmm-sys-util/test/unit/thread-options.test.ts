import { threadOptions } from '@node-vmm/vmm-sys-util';
import { expect, it } from 'vitest';

it("leaves a thread the process's options, and names those of modules for a program that is text", () => {
  expect(threadOptions(['--max-old-space-size=64', '--import', './a.mjs'])).toEqual({});
  const given = '--input-type=module --import ./a.mjs -r b --max-old-space-size=64 --conditions=c';
  expect(threadOptions([...given.split(' '), '--no-warnings', '-e', 'text'])).toEqual({
    execArgv: ['--import', './a.mjs', '-r', 'b', '--conditions=c', '--no-warnings'],
  });
});
