package auth

import _ "example.com/gate/pool"
