package edge

import "errors"

const (
	Bare  = 1
	Noted = 2 // Noted has its comment behind it.
)

// One comment stands for the group.
const (
	GroupA = iota
	GroupB
)

var ErrGone = errors.New("gone")

type Plain struct{}

// Known is known.
type Known[T any] struct{ Field T }

func (k *Known[T]) Do()           {}
func (k Known[T]) String() string { return "" }

type (
	// First has a comment.
	First  int
	Second int
)

type hidden struct{}

func (hidden) Do() {}

func Loose() {}

func init() {}
