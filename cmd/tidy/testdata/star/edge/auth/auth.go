package auth

import (
	_ "example.com/gate"
	_ "example.com/gate/bench"
	_ "example.com/gate/edge/front"
	_ "example.com/gate/edge/waf"
	_ "example.com/gate/pool"
)
