/** Escapes of JSON for control characters but \n and \t; a backslash that is escaped; and what JSON leaves. */
const CONTROL = /\\(?:\\|u00[01][0-9a-f]|[bfr])|[\u007f-\u009f]/g;

/**
 * Makes a line of JSON fit for a terminal: control characters in its texts stay visible escapes when
 * it is parsed. A guest or peer may have chosen some of the text, and a terminal obeys such characters.
 */
export function disarm(json: string): string {
  return json.replace(CONTROL, (found) => {
    if (found === '\\\\') return found;
    if (found.startsWith('\\')) return `\\${found}`;
    return `\\\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
