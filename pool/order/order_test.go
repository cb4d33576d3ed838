package order

import (
	"testing"

	"github.com/penstock-edge/penstock/pool/section"
)

func TestOrder(t *testing.T) {
	o := &Order{}
	f := func(spec section.Target, weight int32, closed string) {
		t.Helper()
		if w, c := o.Of(&spec), o.Closes(&spec); w != weight || c != closed {
			t.Errorf("of %+v: weight %d, closed %q; want %d, %q", spec, w, c, weight, closed)
		}
	}
	plain, drained := section.Target{Weight: 2}, section.Target{Weight: 2, Drain: true}
	f(plain, 2, "")
	f(drained, 2, "its configuration says drain")
	f(section.Target{}, 0, "its weight is 0")
	o.Weight.Put(5, 2)
	f(plain, 5, "")
	f(section.Target{Weight: 3}, 3, "") // said of another configuration
	o.Weight.Put(0, 2)
	f(plain, 0, "its weight was set to 0 by the admin interface")
	o.Drain.Put(true, false)
	f(plain, 0, "drained by the admin interface")
	o.Weight.Put(2, 2) // as configured: nothing is said
	if s := o.Status(&plain); s == nil || s.Weight != nil || *s.Drain != true || s.Since.IsZero() {
		t.Errorf("%+v", s)
	}
	o.Drain.Put(false, true)
	f(drained, 2, "")
	f(plain, 2, "")
	if o.Settle(&drained) || !o.Settle(&plain) || o.Drain.set {
		t.Error("what was said of another configuration stays")
	}
	if s := o.Status(&drained); s != nil {
		t.Errorf("nothing is set, %+v", s)
	}
	o = nil
	f(plain, 2, "")
	f(drained, 2, "its configuration says drain")
}
