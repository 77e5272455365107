// What every package.json of the workspace has, so that npm's pages, licence scanners and bundlers find it.
const AUTHOR = 'node-vmm contributors';
const LICENSE = 'Apache-2.0 OR BSD-3-Clause';
const isText = (value) => typeof value === 'string' && value !== '';
const isList = (value) => Array.isArray(value) && value.length > 0 && value.every(isText);

const OF_ALL = {
  author: { is: (value) => value === AUTHOR, wanted: `"${AUTHOR}"` },
  license: { is: (value) => value === LICENSE, wanted: `"${LICENSE}"` },
  type: { is: (value) => value === 'module', wanted: '"module"' },
};

const OF_PUBLISHED = {
  description: { is: isText, wanted: 'a sentence' },
  keywords: { is: isList, wanted: 'a list of words that people search by' },
  repository: {
    is: (value, { path }) => value?.directory === path,
    wanted: '`directory`, the path of the package',
  },
  homepage: { is: isText, wanted: 'the address of its README' },
  bugs: { is: isText, wanted: 'where to report them' },
  engines: { is: (value) => isText(value?.node), wanted: '`node`, a range' },
  sideEffects: { is: (value) => value !== undefined, wanted: 'false, or the files that have some' },
  exports: {
    is: (value) => value?.['./package.json'] === './package.json',
    wanted: 'its modules and "./package.json"',
  },
  files: { is: isList, wanted: 'what npm gets' },
  publishConfig: { is: (value) => value?.provenance === true, wanted: '`provenance`: true' },
};

/**
 * What the manifest lacks, one line each.
 *
 * @param {import('./workspace.mjs').WorkspacePackage} subject
 * @returns {string[]}
 */
export function manifestProblems(subject) {
  const rules = subject.published ? { ...OF_ALL, ...OF_PUBLISHED } : OF_ALL;
  return Object.entries(rules)
    .filter(([field, { is }]) => !is(subject.manifest[field], subject))
    .map(([field, { wanted }]) => `${subject.path}/package.json: ${field} must be ${wanted}`);
}

/**
 * What of the manifest that npm gets would give its users a second copy of what they have: dependencies on
 * exactly one version.
 *
 * @param {{ name: string, dependencies?: Record<string, string> }} manifest
 * @returns {string[]}
 */
export function pinnedDependencies({ name, dependencies = {} }) {
  return Object.entries(dependencies)
    .filter(([, range]) => !/^[\^~>]/.test(range))
    .map(
      ([dependency, range]) => `${name} pins ${dependency} to ${range}: give a range (^${range})`,
    );
}
