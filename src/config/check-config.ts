/** `scrubjay check-config`: the settings in effect, with unit and source, secrets masked. */
import type { Setting } from '../base/settings.ts';
import { listGroups, type Config } from './groups.ts';
import type { LoadedConfig } from './load.ts';
import { showValue } from './masking.ts';

type Row = readonly [name: string, value: string, unit: string, source: string];

const HEAD: Row = ['SETTING', 'VALUE', 'UNIT', 'SOURCE'];

/** A table in text, one line for each setting. */
export function describeConfig({ config, sources }: LoadedConfig): string {
  const rows = [
    HEAD,
    ...settingsWithValues(config).map(([setting, value]): Row => {
      const shown = showValue(setting, value);
      const unit = setting.unit === '' ? '-' : setting.unit;
      return [setting.env, shown === '' ? '-' : shown, unit, sources.get(setting.env) ?? 'default'];
    }),
  ];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: Row): string =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd();
  return `${rows.map(line).join('\n')}\n`;
}

function settingsWithValues(config: Config): [Setting<unknown>, unknown][] {
  const values = new Map<string, Readonly<Record<string, unknown>>>(Object.entries(config));
  return listGroups().flatMap(([group, settings]) =>
    Object.entries(settings).map(([key, setting]): [Setting<unknown>, unknown] => [
      setting,
      values.get(group)?.[key],
    ]),
  );
}
