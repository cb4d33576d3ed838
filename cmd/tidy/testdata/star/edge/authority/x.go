package authority

import _ "example.com/gate/edge/auth"
