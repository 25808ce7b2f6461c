/** A vault, in a worker of a browser. */

import { serveVault } from '../../src/index.js';

serveVault(self, () => self.close());
