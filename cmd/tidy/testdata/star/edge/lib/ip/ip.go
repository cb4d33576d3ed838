package ip

import (
	_ "example.com/gate/edge"
	_ "example.org/engine"
	_ "example.org/other"
)
