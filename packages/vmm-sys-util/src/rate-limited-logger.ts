import { LevelLogger, type LogLevel } from './level-logger.ts';
import type { Logger } from './logger.ts';
import { TokenBucket } from './token-bucket.ts';

/** How many lines a device may log. What is over that is counted and not written. */
export interface LogLimits {
  /** Lines of one message at once, and one more each so many milliseconds. */
  readonly message: { readonly burst: number; readonly everyMs: number };
  /** The same for all messages of one level together: texts may differ by what a guest chose. */
  readonly level: { readonly burst: number; readonly everyMs: number };
}

/** Ours: room for what happens once for each of many guests, and for 1 line a second in the long run. */
export const DEFAULT_LOG_LIMITS: LogLimits = {
  message: { burst: 100, everyMs: 10_000 },
  level: { burst: 400, everyMs: 1000 },
};

/** Who debugs wants more; a guest still cannot fill a disk in a night. */
const DEBUG_FACTOR = 10;
/** Messages whose lines are counted apart; the rest share one count. */
const MAX_MESSAGES = 256;
/** Sets of bindings with counts of their own. */
const MAX_SCOPES = 1024;

interface Count {
  readonly bucket: TokenBucket;
  suppressed: number;
}

/** Counts of one device: what one guest makes us say costs no other guest its lines. */
interface Scope {
  readonly levels: Map<LogLevel, Count>;
  readonly messages: Map<string, Count>;
}

/** What a logger and its children share. */
interface Shared {
  readonly limits: LogLimits;
  readonly now: () => number;
  readonly scopes: Map<string, Scope>;
}

/**
 * A logger for lines that guests and peers can provoke: no message comes more often than the limits
 * allow, for each set of bindings by itself. The next line of a message that was suppressed says how
 * often, as `suppressed`.
 */
export class RateLimitedLogger extends LevelLogger {
  /** The logger without limits, for what has been limited where it comes from. */
  readonly unlimited: Logger;
  readonly #shared: Shared;
  readonly #key: string;
  readonly #scope: Scope;

  private constructor(logger: Logger, shared: Shared, key: string) {
    super();
    this.unlimited = logger;
    this.#shared = shared;
    this.#key = key;
    this.#scope = scopeOf(shared, key);
  }

  /**
   * @param now - milliseconds of a clock that never goes back
   */
  static wrap(
    logger: Logger,
    limits: LogLimits = DEFAULT_LOG_LIMITS,
    now: () => number = () => performance.now(),
  ): RateLimitedLogger {
    return new RateLimitedLogger(logger, { limits, now, scopes: new Map() }, '');
  }

  child(bindings: Record<string, unknown>): Logger {
    const key = `${this.#key},${Object.entries(bindings).flat().map(String).join(' ')}`;
    return new RateLimitedLogger(this.unlimited.child(bindings), this.#shared, key);
  }

  protected log(level: LogLevel, context: object, message: string): void {
    const count = this.#count(level, message);
    const now = this.#shared.now();
    const whole = this.#level(level);
    // A line that its message may not have must not cost the others one.
    if (!count.bucket.has(now) || !whole.bucket.take(now)) {
      count.suppressed++;
      return;
    }
    count.bucket.take(now);
    const { suppressed } = count;
    count.suppressed = 0;
    this.unlimited[level](suppressed === 0 ? context : { ...context, suppressed }, message);
  }

  #count(level: LogLevel, message: string): Count {
    const { messages } = this.#scope;
    const key = `${level} ${message}`;
    const known = messages.get(key);
    if (known !== undefined) return known;
    if (messages.size < MAX_MESSAGES) {
      const count = this.#newCount(level, this.#shared.limits.message);
      messages.set(key, count);
      return count;
    }
    // Whoever varies a text over and over gets one count for all that come late.
    const rest = messages.get('') ?? this.#newCount(level, this.#shared.limits.message);
    messages.set('', rest);
    return rest;
  }

  #level(level: LogLevel): Count {
    const { levels } = this.#scope;
    const known = levels.get(level);
    if (known !== undefined) return known;
    const count = this.#newCount(level, this.#shared.limits.level);
    levels.set(level, count);
    return count;
  }

  #newCount(level: LogLevel, limit: LogLimits['message']): Count {
    const factor = level === 'debug' ? DEBUG_FACTOR : 1;
    const bucket = new TokenBucket(
      limit.burst * factor,
      limit.everyMs / factor,
      this.#shared.now(),
    );
    return { bucket, suppressed: 0 };
  }
}

function scopeOf({ scopes }: Shared, key: string): Scope {
  const scope = scopes.get(key) ?? { levels: new Map(), messages: new Map() };
  // Used last, evicted last.
  scopes.delete(key);
  scopes.set(key, scope);
  const [oldest] = scopes.keys();
  if (scopes.size > MAX_SCOPES && oldest !== undefined) scopes.delete(oldest);
  return scope;
}

/** Limits a logger; one that is limited stays as it is. */
export function rateLimited(logger: Logger): RateLimitedLogger {
  return logger instanceof RateLimitedLogger ? logger : RateLimitedLogger.wrap(logger);
}
