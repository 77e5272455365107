import { expect, it } from 'vitest';
import { FatalFailure } from '../../src/fatal-failure.ts';

it('a device that fails before the others are there does not end the daemon', async () => {
  let serving = 0;
  const failure = new FatalFailure(false, () => serving);
  failure.add(new Error('first'));
  serving = 1;
  failure.complete();
  serving = 0;
  failure.add(new Error('last'));
  expect((await failure.happened).message).toBe('last');
});

it('all devices may have failed when the last is added', async () => {
  const failure = new FatalFailure(false, () => 0);
  failure.add(new Error('only'));
  failure.complete();
  expect((await failure.happened).message).toBe('only');
});

it('any may be the end', async () => {
  const failure = new FatalFailure(true, () => 1);
  failure.add(new Error('first'));
  expect((await failure.happened).message).toBe('first');
});
