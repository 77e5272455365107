import { execFile } from 'node:child_process';
import { execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { errorMessage } from '@node-vmm/vmm-sys-util';
import type { ErrorRecord } from '../between/worker-calls.ts';
import { VhostUserBackendError, type VhostUserBackendErrorCode } from '../errors.ts';

/** How long Node may take to find a module's syntax error again, milliseconds. */
const SYNTAX_TIMEOUT_MS = 5_000;

/** This module; undefined in a bundle of CommonJS. */
const SELF: string | undefined = import.meta.url;
/**
 * Where our own frames are: an author wants to see the line of the device. In a bundle they are in the
 * author's file.
 */
const HERE = SELF?.includes('/worker/') ? new URL('..', SELF).href : undefined;

/**
 * An error as the main thread is told it.
 *
 * @param module - URL of the module whose code threw: file and line, which its author needs, are in the
 * message then
 */
export function errorRecord(
  error: unknown,
  code: VhostUserBackendErrorCode,
  module?: string,
): ErrorRecord {
  const message = errorMessage(error);
  // Where one of ours only passes on what an author's code threw, that is where to look.
  const origin =
    VhostUserBackendError.is(error) && error.cause instanceof Error ? error.cause : error;
  const stack = origin instanceof Error ? origin.stack : undefined;
  const place = module === undefined || saysEnough(error) ? undefined : placeOf(stack, module);
  return { code, message: place === undefined ? message : `${message} (${place})`, stack };
}

/** Errors with a code of their own are meant for users, and say what to do. Node's are for authors. */
export function saysEnough(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return VhostUserBackendError.is(error) || (typeof code === 'string' && !code.startsWith('ERR_'));
}

/** As {@link errorRecord}, for an error of `import`: V8 does not say where a syntax error is. */
export async function importErrorRecord(
  error: unknown,
  code: VhostUserBackendErrorCode,
  module: string,
): Promise<ErrorRecord> {
  const record = errorRecord(error, code, module);
  if (!(error instanceof SyntaxError) || record.message !== errorMessage(error)) return record;
  const place = await syntaxErrorPlace(module);
  return place === undefined ? record : { ...record, message: `${record.message} (${place})` };
}

/** The innermost line of a stack in the module's own directory, or else outside of this package. */
function placeOf(stack: string | undefined, module: string): string | undefined {
  const places = [...(stack ?? '').matchAll(/file:\/\/[^\s()]+?:\d+(?=[:\s)]|$)/g)]
    .map(([place]) => place)
    .filter((place) => HERE === undefined || !place.startsWith(HERE));
  // Modules of other schemes (`data:`) have no directory.
  const home = module.startsWith('file:') ? new URL('.', module).href : module;
  const place = places.find((candidate) => candidate.startsWith(home)) ?? places[0];
  return place === undefined ? undefined : shown(place);
}

/** Node itself names the line when it dies of the error. Nothing of the module runs before. */
function syntaxErrorPlace(module: string): Promise<string | undefined> {
  const args = ['--input-type=module', '--eval', `await import(${JSON.stringify(module)})`];
  return new Promise((resolve) => {
    execFile(execPath, args, { timeout: SYNTAX_TIMEOUT_MS }, (_error, _stdout, stderr) => {
      const place = /^(?:file:\/\/)?\/.*:\d+$/m.exec(stderr)?.[0];
      resolve(place === undefined ? undefined : shown(place));
    });
  });
}

function shown(place: string): string {
  const [, url = place, line = ''] = /^(.*)(:\d+)$/.exec(place) ?? [];
  return `${url.startsWith('file:') ? fileURLToPath(url) : url}${line}`;
}
