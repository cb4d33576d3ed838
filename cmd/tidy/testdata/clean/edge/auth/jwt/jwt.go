package jwt

import _ "example.com/gate/edge"
