// `node dist/golden/print.js <series> <target>`: what the headers say, as JSON; kept in `golden/`.
import { ABI_SERIES, ABI_TARGETS, type AbiTarget, goldenAbi } from './golden-abi.ts';

const [series = '', target = ''] = process.argv.slice(2);
if (!ABI_SERIES.includes(series) || !Object.keys(ABI_TARGETS).includes(target)) {
  const targets = Object.keys(ABI_TARGETS).join('|');
  console.error(`Usage: print.js <${ABI_SERIES.join('|')}> <${targets}>`);
  process.exit(2);
}
console.log(JSON.stringify(await goldenAbi(series, target as AbiTarget), null, 2));
