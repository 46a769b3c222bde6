/** Settings of the process itself. */
import { text } from '../base/settings.ts';

export const nodeSettings = {
  dataDir: text({
    env: 'SCRUBJAY_DATA_DIR',
    default: 'data',
    allowed: 'a path',
    doc: 'Folder of the log and the embedded engine; relative to the working directory',
  }),
  configFile: text({
    env: 'SCRUBJAY_CONFIG_FILE',
    default: '',
    allowed: 'the path of a YAML file',
    doc: 'YAML file with the names of this table as keys; the environment wins over it',
  }),
};
