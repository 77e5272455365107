// `npm run docs`: the reference of every published package, in docs/api. Fails on what does not convert
// and on a link that leads nowhere.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { readArguments } from './arguments.mjs';
import { bootstrap, root } from './bootstrap.mjs';
import { workspacePackages } from './workspace.mjs';

const USAGE = `Usage: npm run docs

Makes the reference of every published package, in docs/api.
`;

readArguments('npm run docs', USAGE);
await bootstrap();
// It is installed by now.
const { Application } = await import('typedoc');
const packages = workspacePackages().filter(({ published }) => published);

/** Source file -> how users import it. */
const modules = new Map(
  packages.flatMap(({ name, directory, manifest }) =>
    Object.entries(manifest.exports).flatMap(([subpath, { '@node-vmm/source': source }]) =>
      source === undefined ? [] : [[join(directory, source), name + subpath.slice(1)]],
    ),
  ),
);

/** Sources in place of what is built, so that links between packages are links. */
const tsconfig = {
  extends: join(root, 'tsconfig.base.json'),
  compilerOptions: {
    composite: false,
    noEmit: true,
    rewriteRelativeImportExtensions: false,
    allowImportingTsExtensions: true,
    customConditions: ['@node-vmm/source'],
    typeRoots: [join(root, 'node_modules/@types')],
  },
  files: [...modules.keys()],
};

/** The README for another place: links of its own go to where all of the tree can be read. */
function readmeElsewhere() {
  const [{ path, manifest }] = packages;
  const tree = manifest.homepage.slice(0, manifest.homepage.indexOf(path));
  const text = readFileSync(join(root, 'README.md'), 'utf8');
  return text.replace(/\]\((?!https?:|#)/g, `](${tree}`);
}

/** typedoc calls a module by its path. */
function nameModules(project) {
  const names = new Map();
  for (const [file, name] of modules) {
    names.set(relative(root, file).replace(/(\/index)?\.ts$/, ''), name);
  }
  for (const module of project.children) {
    const name = names.get(module.name);
    if (name === undefined) throw new Error(`Cannot name ${module.name}: no package exports it`);
    module.name = name;
  }
}

async function generate(work) {
  const app = await Application.bootstrapWithPlugins({
    name: 'node-vmm',
    entryPoints: tsconfig.files,
    entryPointStrategy: 'resolve',
    basePath: root,
    tsconfig: join(work, 'tsconfig.json'),
    readme: join(work, 'README.md'),
    out: join(root, 'docs/api'),
    excludeInternal: true,
    excludePrivate: true,
    disableSources: true,
    // `npm run build` does that.
    skipErrorChecking: true,
    validation: { invalidLink: true, notExported: false, notDocumented: false },
  });
  const project = await app.convert();
  if (project === undefined) return false;
  nameModules(project);
  const { warningCount } = app.logger;
  app.validate(project);
  if (app.logger.warningCount > warningCount) return false;
  await app.generateOutputs(project);
  return !app.logger.hasErrors();
}

const work = mkdtempSync(join(tmpdir(), 'node-vmm-docs-'));
process.on('exit', () => rmSync(work, { recursive: true, force: true }));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));
writeFileSync(join(work, 'README.md'), readmeElsewhere());
writeFileSync(join(work, 'tsconfig.json'), JSON.stringify(tsconfig));
if (!(await generate(work))) {
  console.error('npm run docs: no site is made while a comment makes a warning; mend those above');
  process.exitCode = 1;
}
