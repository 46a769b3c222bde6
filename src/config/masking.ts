/** Values as they may be shown: secrets and the credentials of URLs masked. */
import type { Setting } from '../base/settings.ts';

const MASK = '********';

/** A text as it was given for this setting. */
export function showText(setting: Setting<unknown>, text: string): string {
  if (setting.secret) return text === '' ? '' : MASK;
  return text.replaceAll(/(\w+:\/\/)[^/@\s]+@/g, `$1${MASK}@`);
}

/** A value of this setting as a person would write it. */
export function showValue(setting: Setting<unknown>, value: unknown): string {
  return showText(setting, setting.format(value));
}
