package auth

import (
	_ "example.com/gate/cmd/gate"
	_ "example.com/gate/edge/waf"
)
