// Package order holds the orders of the admin API for single targets.
package order

import (
	"time"

	"github.com/penstock-edge/penstock/pool/section"
)

// Order is an order of the admin API for one address of a pool. It stands over reloads, until the target
// leaves the pool or its configuration says something new of the same matter.
type Order struct {
	Drain  Value[bool]
	Weight Value[int32]
}

// Value is one value set by the admin API in place of the configured one.
type Value[T comparable] struct {
	set   bool
	value T
	over  T // the configured value when it was set
	at    time.Time
}

// Put sets the value; one that is configured anyway is not kept.
func (s *Value[T]) Put(value, configured T) {
	*s = Value[T]{value != configured, value, configured, time.Now()}
}

// of returns the value that holds in place of the configured one.
func (s *Value[T]) of(configured T) T {
	if s.set && s.over == configured {
		return s.value
	}
	return configured
}

// settle forgets an order over another configuration; it reports whether it has.
func (s *Value[T]) settle(configured T) (forgotten bool) {
	if s.set && s.over != configured {
		*s = Value[T]{}
		return true
	}
	return false
}

// Settle forgets the orders over another configuration than spec; it reports whether there was any.
func (o *Order) Settle(spec *section.Target) bool {
	drain, weight := o.Drain.settle(spec.Drain), o.Weight.settle(spec.Weight)
	return drain || weight
}

// Of returns the weight of a target that is configured by spec. o may be nil.
func (o *Order) Of(spec *section.Target) int32 {
	if o == nil {
		return spec.Weight
	}
	return o.Weight.of(spec.Weight)
}

// Closes returns why the target that is configured by spec takes no new clients; "": it takes them. o may be
// nil.
func (o *Order) Closes(spec *section.Target) string {
	if o == nil {
		o = &Order{}
	}
	switch drain, weight := o.Drain.of(spec.Drain), o.Weight.of(spec.Weight); {
	case drain && drain != spec.Drain:
		return "drained by the admin interface"
	case drain:
		return "its configuration says drain"
	case weight == 0 && weight != spec.Weight:
		return "its weight was set to 0 by the admin interface"
	case weight == 0:
		return "its weight is 0"
	}
	return ""
}

// Status is what the admin API has set for a target, as /status shows it.
type Status struct {
	Drain  *bool     `json:"drain,omitempty"`
	Weight *int32    `json:"weight,omitempty"`
	Since  time.Time `json:"since"` // of the last of both
}

// Status returns nil when nothing is set. o may be nil.
func (o *Order) Status(spec *section.Target) *Status {
	if o == nil {
		return nil
	}
	s := &Status{}
	if v := o.Drain.of(spec.Drain); v != spec.Drain {
		s.Drain, s.Since = &v, o.Drain.at
	}
	if v := o.Weight.of(spec.Weight); v != spec.Weight {
		s.Weight = &v
		if o.Weight.at.After(s.Since) {
			s.Since = o.Weight.at
		}
	}
	if s.Drain == nil && s.Weight == nil {
		return nil
	}
	return s
}

// Said reports whether anything is set.
func (o *Order) Said() bool { return o.Drain.set || o.Weight.set }
