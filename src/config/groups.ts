/** All settings of the program, by the module that reads them, and the type of their values. */
import { uiSettings } from '../api/config.ts';
import type { Setting, SettingGroup, SettingValues } from '../base/settings.ts';
import { distributorSettings } from '../distributor/config.ts';
import { httpSettings } from '../http/config.ts';
import { ingesterSettings } from '../ingester/config.ts';
import { querySettings } from '../query/config.ts';
import { receiverSettings } from '../receiver/config.ts';
import { clickhouseSettings } from '../storage/clickhouse/config.ts';
import { telemetrySettings } from '../telemetry/config.ts';
import { walSettings } from '../wal/config.ts';
import { nodeSettings } from './config.ts';

/** In the order in which README, --help and check-config list them. */
export const allSettings = {
  node: nodeSettings,
  http: httpSettings,
  receiver: receiverSettings,
  distributor: distributorSettings,
  wal: walSettings,
  ingester: ingesterSettings,
  clickhouse: clickhouseSettings,
  query: querySettings,
  ui: uiSettings,
  telemetry: telemetrySettings,
};

type AllSettings = typeof allSettings;

/** The values in effect: `config.http.port`, `config.node.dataDir`. Frozen all the way down. */
export type Config = { readonly [G in keyof AllSettings]: SettingValues<AllSettings[G]> };

export const listGroups = (): [name: string, settings: SettingGroup][] =>
  Object.entries<SettingGroup>(allSettings);

/** Every setting of every module. */
export const listSettings = (): Setting<unknown>[] =>
  listGroups().flatMap(([, settings]) => Object.values(settings));
