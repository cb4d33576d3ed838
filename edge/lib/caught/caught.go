// Package caught makes an error of a panic, for work that may fail without ending the process.
package caught

import (
	"fmt"
	"runtime/debug"
)

// Panic is what a function panicked with.
type Panic struct {
	Value any
	Stack []byte // of the goroutine, from where it panicked
}

// Error returns the value as text, without the stack.
func (p *Panic) Error() string { return fmt.Sprint(p.Value) }

// Call calls f. It returns what f panicked with, nil when it returned.
func Call(f func()) (p *Panic) {
	defer func() {
		if v := recover(); v != nil {
			p = &Panic{Value: v, Stack: debug.Stack()}
		}
	}()
	f()
	return nil
}

// Try calls f and returns its error, or what it panicked with as one, a *Panic.
func Try(f func() error) (err error) {
	if p := Call(func() { err = f() }); p != nil {
		return p
	}
	return err
}
