import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheRoot } from './paths.ts';
import type { Outcome } from './workshop.ts';

/** What the last setup came to. */
export interface SetupReport {
  /** By the names of beds. */
  readonly beds: Readonly<Record<string, Outcome>>;
  /** By the names of artefacts: those that are not there. */
  readonly missing: Readonly<Record<string, Outcome>>;
}

function reportFile(): string {
  return join(cacheRoot(), 'setup-report.json');
}

/** Keeps the report for tests, which say why a bed is not there. */
export function writeSetupReport(report: SetupReport): void {
  writeFileSync(reportFile(), `${JSON.stringify(report, null, 2)}\n`);
}

/** The report of the last setup, undefined when there was none. */
export function readSetupReport(): SetupReport | undefined {
  try {
    return JSON.parse(readFileSync(reportFile(), 'utf8')) as SetupReport;
  } catch {
    return undefined;
  }
}
