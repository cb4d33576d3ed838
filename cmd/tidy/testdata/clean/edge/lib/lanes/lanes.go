package lanes

import _ "example.com/gate/edge/lib/ip"
