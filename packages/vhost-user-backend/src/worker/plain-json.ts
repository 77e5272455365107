/**
 * The JSON of a plain object.
 *
 * @param what - for messages
 * @param maxChars - of the text
 * @throws {TypeError} when it is no plain object, when something in it has no JSON, or it is too long
 */
export function plainJson(what: string, value: object, maxChars: number): string {
  const refuse = (why: string): never => {
    throw new TypeError(`Cannot tell ${what}: ${why}`);
  };
  if (!isPlain(value)) refuse('it is no plain object');
  const text = JSON.stringify(value, (key, member: unknown) => {
    if (!hasJson(member)) refuse(`"${key}" in it has no JSON`);
    return member;
  });
  if (text.length > maxChars) refuse(`its text is over ${maxChars} characters`);
  return text;
}

/** Members that are undefined are left out. BigInts and circles are refused by `JSON.stringify` itself. */
function hasJson(member: unknown): boolean {
  if (typeof member === 'object' && member !== null) {
    return Array.isArray(member) || isPlain(member);
  }
  if (typeof member === 'number') return Number.isFinite(member);
  return typeof member !== 'function' && typeof member !== 'symbol';
}

function isPlain(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
