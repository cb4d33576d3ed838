package live

import (
	_ "example.com/gate/edge"
	_ "example.com/gate/edge/front"
)
