// A reporter of vitest that writes what vitest's JSON report leaves out: errors that belong to no test, a
// message each, to the file of NODE_VMM_UNHANDLED. Nothing is written where there are none.
import { writeFileSync } from 'node:fs';

export default class Unhandled {
  onTestRunEnd(_modules, errors) {
    const { NODE_VMM_UNHANDLED: file } = process.env;
    if (file === undefined || errors.length === 0) return;
    writeFileSync(file, JSON.stringify(errors.map(({ message }) => message)));
  }
}
