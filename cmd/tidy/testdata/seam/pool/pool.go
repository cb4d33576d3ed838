package pool

import (
	"math/rand/v2"
	"net"
	"syscall"
)

func draw() int { return rand.Int() }

func dial() (net.Conn, error) { return net.Dial("tcp", "a:1") }

func open() (int, error) { return syscall.Socket(1, 2, 3) }

var _ net.Conn // a type is no way past anything
