import { expect, it } from 'vitest';
import { allowedFiles, checkOpenFiles, neededFiles } from '../../src/open-files.ts';

const LIMITS = `Limit                     Soft Limit           Hard Limit           Units
Max processes             127158               127158               processes
Max open files            1024                 524288               files
`;

it('are limited as the kernel says', () => {
  expect(allowedFiles(LIMITS)).toBe(1024);
  expect(allowedFiles(LIMITS.replace('1024  ', 'unlimited'))).toBe(Number.POSITIVE_INFINITY);
  expect(allowedFiles('')).toBe(Number.POSITIVE_INFINITY);
  expect(allowedFiles()).toBeGreaterThan(0);
});

it('are needed by guests, queues, threads, and who drives the devices', () => {
  const one = { queues: [1], workers: 1, control: false };
  const more = (change: object): number => neededFiles({ ...one, ...change }) - neededFiles(one);
  expect(more({ queues: [1, 1] })).toBeGreaterThan(8);
  expect(more({ queues: [2] })).toBe(3);
  expect(more({ queues: [undefined] })).toBe(3);
  expect(more({ workers: 3 })).toBeGreaterThan(13);
  expect(more({ control: true })).toBeGreaterThan(16);
  expect(more({ supervises: true })).toBeGreaterThan(32);
});

it('are told with the number that is needed, when there are too few', () => {
  const served = { queues: Array(256).fill(2), workers: 1, control: false };
  const needed = neededFiles(served);
  checkOpenFiles(served, needed);
  expect(() => checkOpenFiles(served, needed - 1)).toThrow(
    expect.objectContaining({
      code: 'OPEN_FILES',
      message: `Cannot serve 256 guests: it can take ${needed} open files, and this process may have ${needed - 1}; raise the limit (ulimit -n ${needed}, of systemd LimitNOFILE=${needed}) or serve fewer`,
    }),
  );
  expect(() => checkOpenFiles({ ...served, queues: [2] }, 20)).toThrow('Cannot serve one guest:');
});
