package edge

import (
	_ "example.com/gate/edge/auth"
	_ "example.com/gate/edge/routes"
	_ "example.com/gate/pool"
)
