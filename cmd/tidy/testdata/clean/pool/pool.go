package pool

import (
	_ "example.com/gate/edge"
	_ "example.com/gate/pool/balance"
)
