// Builds every package that has changed: a line for each, and of those that fail all that they said.
import { join } from 'node:path';
import { tryRun } from './run.mjs';
import { workspacePackages } from './workspace.mjs';

/** What pnpm prints around a script: not what failed. */
const FRAME = /^(> .*| ?ELIFECYCLE .*|\s*)$/;
/** A path in front of a message of tsc's, seen from the package. */
const SOURCE = /^([^\s(:]+\.[cm]?tsx?)(?=\(\d+,\d+\): )/;

/** Reads `turbo --json`: lines with `source`, a task or turbo itself, and `text`. */
class TurboLog {
  #packages = new Map(workspacePackages().map((entry) => [entry.name, entry]));
  #output = new Map();
  #failed = new Set();
  #complaints = [];
  #total = 0;
  #seen = 0;

  read(line) {
    let entry;
    try {
      entry = JSON.parse(line);
    } catch {
      this.#complaints.push(line);
      return;
    }
    const { source, level, text } = entry;
    if (source !== 'turbo') this.#readTask(source.replace(/#build$/, ''), text);
    else if (level === 'error') this.#complaints.push(text);
    else this.#total = Number(/in (\d+) packages?/.exec(text)?.[1] ?? this.#total);
  }

  #readTask(name, text) {
    const [, cache] = /^cache (hit|miss|bypass)\b/.exec(text) ?? [];
    if (cache !== undefined) {
      this.#seen += 1;
      this.#output.set(name, []);
      if (cache !== 'hit') console.log(`Building ${name} (${this.#seen} of ${this.#total})`);
      return;
    }
    if (/ELIFECYCLE/.test(text)) this.#failed.add(name);
    this.#output.get(name)?.push(text);
  }

  /** What the packages that failed have printed, with paths from the root of the workspace. */
  explain() {
    for (const name of this.#failed) {
      const path = this.#packages.get(name)?.path ?? '';
      console.error(`Cannot build ${name}:`);
      for (const text of this.#output.get(name) ?? []) {
        if (!FRAME.test(text)) console.error(text.replace(SOURCE, (file) => join(path, file)));
      }
    }
    // Of a package that failed turbo has no more to say than that it did.
    if (this.#failed.size === 0) console.error(['Cannot build:', ...this.#complaints].join('\n'));
  }
}

/**
 * Builds what is out of date. Ends this process when something does not build.
 *
 * @param {readonly string[]} options of turbo
 */
export async function build(options = []) {
  const started = Date.now();
  const log = new TurboLog();
  const args = ['run', 'build', '--json', '--output-logs=new-only', '--no-update-notifier'];
  const status = await tryRun('turbo', [...args, ...options], {
    group: true,
    onLine: (line) => log.read(line),
  });
  if (status !== 0) {
    log.explain();
    process.exit(1);
  }
  const seconds = (Date.now() - started) / 1000;
  if (seconds > 2) console.log(`Built in ${seconds.toFixed(1)} s`);
}
