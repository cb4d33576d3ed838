package balance

import _ "example.com/gate/pool"
