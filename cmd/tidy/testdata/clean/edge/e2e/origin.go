package e2e

import _ "example.com/gate/pool"
