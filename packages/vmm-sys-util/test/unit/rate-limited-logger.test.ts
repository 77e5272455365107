import { beforeEach, describe, expect, it } from 'vitest';
import { type Logger, RateLimitedLogger, rateLimited, silentLogger } from '../../src/index.ts';

const LIMITS = { message: { burst: 3, everyMs: 1000 }, level: { burst: 5, everyMs: 1000 } };

let lines: { context: Record<string, unknown>; message: string }[];
let now: number;
let logger: RateLimitedLogger;

function recorder(bindings: object): Logger {
  const write = (context: object, message: string): void => {
    lines.push({ context: { ...bindings, ...context }, message });
  };
  return {
    debug: write,
    info: write,
    warn: write,
    error: write,
    child: (more) => recorder({ ...bindings, ...more }),
  };
}

beforeEach(() => {
  lines = [];
  now = 0;
  logger = RateLimitedLogger.wrap(recorder({}), LIMITS, () => now);
});

function flood(target: Logger, count: number, message: (i: number) => string): void {
  for (let i = 0; i < count; i++) target.warn({ i }, message(i));
}

describe('RateLimitedLogger', () => {
  it('writes a burst, then one line for each period, which says how many there were between', () => {
    flood(logger, 100, () => 'refused');
    expect(lines).toHaveLength(3);
    now = 999;
    logger.warn({}, 'refused');
    expect(lines).toHaveLength(3);
    now = 1000;
    logger.warn({ address: 5 }, 'refused');
    expect(lines.at(-1)).toEqual({ context: { address: 5, suppressed: 98 }, message: 'refused' });
    now = 2000;
    logger.warn({}, 'refused');
    expect(lines.at(-1)).toEqual({ context: {}, message: 'refused' });
  });

  it('counts each message by itself', () => {
    flood(logger, 100, () => 'refused');
    logger.warn({}, 'another');
    expect(lines.at(-1)?.message).toBe('another');
  });

  it('holds for texts that differ each time, and keeps a bounded number of them', () => {
    flood(logger, 10_000, (i) => `refused ${i}`);
    expect(lines).toHaveLength(5);
    now = 60_000;
    flood(logger, 10_000, (i) => `refused again ${i}`);
    // Late texts share the one count that is left.
    expect(lines).toHaveLength(5 + 3);
  });

  it('leaves room for errors when there are too many warnings', () => {
    flood(logger, 10_000, (i) => `refused ${i}`);
    logger.error({}, 'broken');
    expect(lines.at(-1)?.message).toBe('broken');
  });

  it('counts each device by itself, whichever logger object speaks of it', () => {
    flood(logger.child({ device: 'i2c0' }), 100, () => 'refused');
    flood(logger.child({ device: 'i2c0' }), 100, () => 'refused');
    expect(lines).toHaveLength(3);
    flood(logger.child({ device: 'i2c1' }), 100, () => 'refused');
    expect(lines).toHaveLength(6);
    expect(lines.at(-1)?.context).toEqual({ device: 'i2c1', i: 2 });
  });

  it('allows ten times as many lines to who debugs', () => {
    for (let i = 0; i < 1000; i++) logger.debug({}, 'served');
    expect(lines).toHaveLength(30);
  });

  it('is not limited twice', () => {
    expect(rateLimited(logger)).toBe(logger);
    expect(rateLimited(silentLogger).unlimited).toBe(silentLogger);
  });
});
