/** What JSON leaves as it is and a terminal obeys. */
const C1 = /[\u007f-\u009f]/g;

/**
 * A line of JSON that means the same and is nothing that a terminal obeys, whatever a guest or peer has chosen
 * of it.
 */
export function jsonLine(answer: object): string {
  const escaped = (found: string): string =>
    `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return `${JSON.stringify(answer).replace(C1, escaped)}\n`;
}
