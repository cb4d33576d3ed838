package edge

import (
	_ "example.com/gate/edge/config"
	_ "example.com/gate/edge/lib/lanes"
	_ "example.com/gate/edge/route"
)
