/**
 * For tests of hosts of GPIO lines: the rules that every one keeps, as data.
 *
 * @packageDocumentation
 */
export {
  type GpioHostCase,
  type GpioHostSubject,
  gpioHostComplianceCases,
} from './gpio-host-compliance.ts';
