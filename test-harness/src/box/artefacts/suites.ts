/** Debian releases that the box takes packages from, each with the places to look after the first. */
export const TRIXIE: readonly string[] = [
  'trixie',
  'trixie-security',
  'trixie-updates',
  'forky',
  'sid',
];
export const BOOKWORM: readonly string[] = ['bookworm', 'bookworm-security', 'bookworm-updates'];
