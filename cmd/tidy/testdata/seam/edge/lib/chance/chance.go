package chance

import "math/rand/v2"

func draw() int { return rand.Int() }
