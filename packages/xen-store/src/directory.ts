import { XS_DIRECTORY, XS_DIRECTORY_PART } from './abi/xs-wire.ts';
import { XenStoreError } from './errors.ts';
import { decodeStrings, encodeStrings } from './message.ts';

/**
 * Ours: largest list of children that is read, in bytes: what a guest creates must not fill our memory.
 */
export const MAX_DIRECTORY_BYTES: number = 1024 * 1024;
/** How often a list that changes while it is read is begun anew. */
const ATTEMPTS = 16;

/** Sends a request about a directory. */
export type DirectoryRequest = (type: number, payload: Uint8Array) => Promise<Uint8Array>;

/**
 * Names of the children of a node, in parts when they do not fit one message.
 *
 * @throws {XenStoreError} TOO_LARGE, EAGAIN when it never stands still
 */
export async function readDirectory(request: DirectoryRequest, path: string): Promise<string[]> {
  try {
    return decodeStrings(await request(XS_DIRECTORY, encodeStrings(path)));
  } catch (error) {
    if (!XenStoreError.is(error, 'E2BIG')) throw error;
  }
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const names = await readParts(request, path);
    if (names !== undefined) return names;
  }
  throw new XenStoreError('EAGAIN', `Cannot list ${path}: it changes all the time`, { path });
}

/** One pass; undefined when the node changed meanwhile. */
async function readParts(request: DirectoryRequest, path: string): Promise<string[] | undefined> {
  const parts: Uint8Array[] = [];
  let generation: string | undefined;
  let length = 0;
  for (;;) {
    const payload = await readPart(request, path, length);
    const end = payload.indexOf(0);
    if (end < 0) throw malformed(path);
    const current = String.fromCharCode(...payload.subarray(0, end));
    generation ??= current;
    if (generation !== current) return undefined;
    const part = payload.subarray(end + 1);
    if (part.length === 0 || part.at(-1) !== 0) throw malformed(path);
    // An empty name after the last one ends the list.
    const last = part.length === 1 || part.at(-2) === 0;
    const taken = last ? part.subarray(0, -1) : part;
    parts.push(taken);
    length += taken.length;
    if (length > MAX_DIRECTORY_BYTES) {
      throw new XenStoreError(
        'TOO_LARGE',
        `Cannot list ${path}: its names take over ${MAX_DIRECTORY_BYTES} bytes`,
        { path },
      );
    }
    if (last) return decodeStrings(Buffer.concat(parts));
  }
}

async function readPart(
  request: DirectoryRequest,
  path: string,
  offset: number,
): Promise<Uint8Array> {
  try {
    return await request(XS_DIRECTORY_PART, encodeStrings(path, String(offset)));
  } catch (error) {
    // A xenstored without the operation: the list is too big and that is all there is to say.
    if (!XenStoreError.is(error, 'ENOSYS')) throw error;
    const text = `Cannot list ${path}: E2BIG (this xenstored does not serve large directories)`;
    throw new XenStoreError('E2BIG', text, { path }, { cause: error });
  }
}

function malformed(path: string): XenStoreError {
  return new XenStoreError('PROTOCOL', `Cannot list ${path}: malformed reply`, { path });
}
