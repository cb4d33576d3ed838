package route

import _ "example.com/gate/edge/lib/ip"
