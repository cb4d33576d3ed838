package descriptors

import "testing"

// TestFill: targets have what they can use and half of all at most, clients have the rest, and both less than
// there is.
func TestFill(t *testing.T) {
	f := func(limit, wanted int, clients, targets func(n int64) bool) {
		t.Helper()
		b, _ := New() // does not fail
		b.Want(wanted)
		b.Fill(limit, 1)
		c, up := b.Clients.Most(), b.Targets.Most()
		if !clients(c) || !targets(up) || c+up+int64(b.Spare()) > int64(limit) && limit > 64 {
			t.Errorf("of %d, with %d wanted: %d for clients, %d for targets, %d spare", limit, wanted, c, up, b.Spare())
		}
	}
	is := func(want int64) func(int64) bool { return func(n int64) bool { return n == want } }
	over := func(least int64) func(int64) bool { return func(n int64) bool { return n > least } }
	f(20_000, 500, over(17_500), is(500))
	f(20_000, 0, over(9_000), over(9_000))
	f(20_000, 50_000, over(9_000), over(9_000))
	f(200, 0, over(20), over(20))
	f(1, 0, is(1), is(1))
}
