package main

import _ "example.com/gate/bench"
