package pool

import _ "example.com/gate/ratelimit"
