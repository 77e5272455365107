import { readFileSync } from 'node:fs';

/** The table of contents of a specification: section number -> title. */
export type Sections = Readonly<Record<string, string>>;

/** Chapters 1 to 6 of VIRTIO 1.3, which all packages cite. I2C, SCMI and GPIO are the same in 1.2. */
export function virtioSections(): Sections {
  const path = new URL('../../spec/virtio-1.3-sections.json', import.meta.url);
  return JSON.parse(readFileSync(path, 'utf8')) as Sections;
}

/** Specifications that have sections and are not VIRTIO: what follows their name is theirs. */
const OTHER_SPECIFICATIONS = /\b(DEN\d{4}|RFC \d+)\b/;

/** How files and lines name the device types of chapter 5, and the section of each. */
const DEVICES: readonly (readonly [word: RegExp, section: string])[] = [
  [/(?<![a-z0-9])net(?![a-z0-9])/i, '5.1'],
  [/(?<![a-z0-9])(blk|block)(?![a-z0-9])/i, '5.2'],
  [/(?<![a-z0-9])console(?![a-z0-9])/i, '5.3'],
  [/(?<![a-z0-9])(rng|entropy)(?![a-z0-9])/i, '5.4'],
  [/(?<![a-z0-9])balloon(?![a-z0-9])/i, '5.5'],
  [/(?<![a-z0-9])scsi(?![a-z0-9])/i, '5.6'],
  [/(?<![a-z0-9])gpu(?![a-z0-9])/i, '5.7'],
  [/(?<![a-z0-9])input(?![a-z0-9])/i, '5.8'],
  [/(?<![a-z0-9])crypto(?![a-z0-9])/i, '5.9'],
  [/(?<![a-z0-9])vsock(?![a-z0-9])/i, '5.10'],
  [/(?<![a-z0-9])fs(?![a-z0-9])/i, '5.11'],
  [/(?<![a-z0-9])rpmb(?![a-z0-9])/i, '5.12'],
  [/(?<![a-z0-9])iommu(?![a-z0-9])/i, '5.13'],
  [/(?<![a-z0-9])sound(?![a-z0-9])/i, '5.14'],
  [/(?<![a-z0-9])i2c(?![a-z0-9])/i, '5.16'],
  [/(?<![a-z0-9])scmi(?![a-z0-9])/i, '5.17'],
  [/(?<![a-z0-9])gpio(?![a-z0-9])/i, '5.18'],
  [/(?<![a-z0-9])pmem(?![a-z0-9])/i, '5.19'],
];

/** The number, and ahead of it what may be its title. */
const CITATION = /§\s?(\d+(?:\.\d+)*)(?=(?:\s+"?(.*))?)/g;
/** `test/spec/virtio-1.3-2.7.6-rings.test.ts`. */
const IN_FILE_NAME = /virtio-1\.3-(\d+(?:\.\d+)*)-/;

function isWithin(section: string, of: string): boolean {
  return section === of || section.startsWith(`${of}.`);
}

function devicesIn(text: string): string[] {
  return DEVICES.filter(([word]) => word.test(text)).map(([, section]) => section);
}

/** The longest title of the specification that `text` starts with. */
function titleAt(text: string, sections: Sections): string | undefined {
  const found = Object.values(sections).filter(
    (title) => text.startsWith(title) && !/^\w/.test(text.slice(title.length)),
  );
  return found.sort((a, b) => b.length - a.length)[0];
}

function problemWith(
  section: string,
  after: string,
  devices: readonly string[],
  sections: Sections,
): string | undefined {
  const title = sections[section];
  if (title === undefined) return 'no such section';
  const given = titleAt(after, sections);
  if (given !== undefined && given !== title) return `has the title "${title}"`;
  if (!isWithin(section, '5') || section === '5' || devices.length === 0) return undefined;
  return devices.some((device) => isWithin(section, device))
    ? undefined
    : `"${title}" is not of the device, which is in ${devices.join(' or ')}`;
}

/**
 * Holds the sections of VIRTIO that a file cites against the table of contents. A citation is wrong
 * when there is no such section, when a title stands behind it that is another section's, or when it
 * is of chapter 5 and of another device than its line names; a line without a device is about the one
 * in the file's path.
 *
 * @param path - from the root of the repository
 * @returns one line for each wrong citation: `path:line: §section: what is wrong`
 */
export function wrongCitations(path: string, text: string, sections: Sections): string[] {
  const wrong: string[] = [];
  const own = devicesIn(path);
  const named = IN_FILE_NAME.exec(path)?.[1];
  if (named !== undefined) {
    const problem = problemWith(named, '', own, sections);
    if (problem !== undefined) wrong.push(`${path}: §${named}: ${problem}`);
  }
  for (const [index, line] of text.split('\n').entries()) {
    for (const match of line.matchAll(CITATION)) {
      const [, section = '', after = ''] = match;
      if (OTHER_SPECIFICATIONS.test(line.slice(0, match.index))) continue;
      const here = devicesIn(line);
      const problem = problemWith(section, after, here.length > 0 ? here : own, sections);
      if (problem !== undefined) wrong.push(`${path}:${index + 1}: §${section}: ${problem}`);
    }
  }
  return wrong;
}
