// What every target of the exec service must do, on the target of the ten containers.
import { readFileSync } from 'node:fs';

import { execSuite } from '../lib/exec_suite.mjs';
import { inspect } from './compose.mjs';

execSuite(
  {
    name: 'ssh',
    place: (workspace) => `/var/lib/ogent-target/workspaces/${workspace}`,
    async memory() {
      const [{ State }] = await inspect('ogent-command-execution');
      return Number(readFileSync(`/proc/${State.Pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB$/m)[1]);
    },
  },
  () => {},
);
