package internal

import _ "example.com/gate/edge"
