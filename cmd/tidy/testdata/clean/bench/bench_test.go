package bench

import _ "example.com/gate/edge/auth"
