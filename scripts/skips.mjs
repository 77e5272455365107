// A reporter of vitest that ends `npm test` with one line: what was skipped, and what would enable it.
// The titles of skipped tests say why, in brackets: `(skipped, missing: ...)`.

/** In front of tests that run on several Xens. */
const BED = /^\[([^\]]+)\]/;
/** Behind a suite's title or a test's. */
const REASON = /\((?:skipped, )?(missing|failed|unavailable): (.*?)\)(?= > |$)/s;
const SOAK = /\bnpm run box:soak\b/;
/** Longer reasons are the ends of logs; the titles have them whole. */
const MAX_REASON = 120;
/** How many names a line has room for. */
const MAX_NAMES = 4;

/** The remedy is told once. */
const REMEDY = /;? (?:run|see) [`"]?npm run box:setup[`"]?/;

function cut(text) {
  const line = text.replace(REMEDY, '').replaceAll(/\s+/g, ' ');
  return line.length > MAX_REASON ? `${line.slice(0, MAX_REASON)}...` : line;
}

function list(names) {
  const unique = [...new Set(names)];
  const shown = unique.slice(0, MAX_NAMES).join(', ');
  return unique.length > MAX_NAMES ? `${shown} and ${unique.length - MAX_NAMES} more` : shown;
}

/** A bed, or the suite without what stands in brackets behind it. */
function subject(name) {
  const [suite = ''] = name.split(' > ');
  return BED.exec(name)?.[1] ?? suite.replace(REASON, '').trim();
}

function why(names) {
  const [, state, reason = ''] = REASON.exec(names[0]) ?? [];
  return `${list(names.map(subject))} (${state}: ${cut(reason)}`;
}

/** What tells one kind of skip from another, and what to say of it. */
const KINDS = [
  {
    is: (name) => /missing|failed/.test(REASON.exec(name)?.[1] ?? ''),
    say: (names) => `${names.length} of ${why(names)}; to enable them: npm run box:setup)`,
  },
  {
    is: (name) => SOAK.test(name),
    say: (names) => `${names.length} that take long (to enable them: npm run box:soak)`,
  },
  {
    is: (name) => REASON.test(name),
    say: (names) => `${names.length} of ${why(names)})`,
  },
  {
    is: () => true,
    say: (names) =>
      `${names.length} of ${list(names.map(subject))} (what they need: npm test -- --reporter=verbose)`,
  },
];

/**
 * The line.
 *
 * @param {readonly string[]} skipped full names of the tests that were skipped
 * @param {string | undefined} withoutBox why those that need the box were left out as a whole
 * @returns {string | undefined} undefined when nothing was
 */
export function skipLine(skipped, withoutBox) {
  const groups = KINDS.map((kind) => ({ kind, names: [] }));
  for (const name of skipped) groups.find(({ kind }) => kind.is(name)).names.push(name);
  const parts = groups
    .filter(({ names }) => names.length > 0)
    .map(({ kind, names }) => kind.say(names));
  if (withoutBox !== undefined) {
    parts.unshift(
      `all on real Xen and QEMU (${cut(withoutBox)}; to enable them: npm run box:setup)`,
    );
  }
  return parts.length === 0 ? undefined : `Skipped tests: ${parts.join('; ')}`;
}

/** Set by scripts/test.mjs. */
const { NODE_VMM_WITHOUT_BOX } = process.env;

export default class SkipReporter {
  #line;

  onInit() {
    // After what every other reporter has to say.
    process.on('exit', () => {
      if (this.#line !== undefined) console.log(`\n${this.#line}`);
    });
  }

  onTestRunEnd(modules) {
    const skipped = modules.flatMap((module) =>
      [...module.children.allTests('skipped')].map((test) => test.fullName),
    );
    this.#line = skipLine(skipped, NODE_VMM_WITHOUT_BOX);
  }
}
