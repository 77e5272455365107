// `node dist/golden/print.js <target>`: what the headers say, as JSON; kept in `golden/`.
import { ABI_TARGETS, type AbiTarget, goldenAbi } from './golden-abi.ts';

const [target = ''] = process.argv.slice(2);
if (!Object.keys(ABI_TARGETS).includes(target)) {
  console.error(`Usage: print.js <${Object.keys(ABI_TARGETS).join('|')}>`);
  process.exit(2);
}
console.log(JSON.stringify(await goldenAbi(target as AbiTarget), null, 2));
