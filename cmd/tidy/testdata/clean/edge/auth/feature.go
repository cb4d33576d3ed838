package auth

import (
	_ "example.com/gate/edge"
	_ "example.com/gate/edge/auth/jwt"
	_ "example.com/gate/edge/config"
)

// Name is the feature's name.
const Name = "auth"
