package ratelimit

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

func keyOf(i int) bucket.Key { return bucket.HashKey(1, fmt.Append(nil, i)) }

func TestBox(t *testing.T) {
	b := newBox(100, &Penalty{Strikes: 3, Window: time.Minute, Ban: 10 * time.Minute})
	second := int64(time.Second)
	f := func(at int64, k int, want time.Duration) {
		t.Helper()
		if got := b.banned(keyOf(k), at*second); (got - want).Abs() > 40*time.Second {
			t.Errorf("key %d at %d s: %v to pay, want %v", k, at, got, want)
		}
	}
	f(1, 1, 0)
	for range 2 {
		b.strike(keyOf(1), second)
	}
	f(1, 1, 0)
	b.strike(keyOf(1), second)
	b.strike(keyOf(1), second) // of a request that was under way
	f(2, 1, 10*time.Minute)
	f(2, 2, 0)
	f(302, 1, 5*time.Minute)
	f(700, 1, 0)
	for at := range int64(20) { // two in a minute are no reason
		b.strike(keyOf(3), (1000+60*at)*second)
		f(1000+60*at, 3, 0)
	}
}

// The list finds those that offend most among many that offend once, in bounded memory.
func TestOffenders(t *testing.T) {
	var o offenders
	for i := range 20_000 {
		o.note(keyOf(i), func() string { return fmt.Sprint("once ", i) })
		if i%50 == 0 {
			o.note(keyOf(-1), func() string { return "often" })
		}
		if i%100 == 0 {
			o.note(keyOf(-2), func() string { return "less often" })
		}
	}
	top := o.top(2)
	if len(o.list) > mostOffenders || top[0].Key != "often" && top[1].Key != "often" {
		t.Errorf("%d are kept, the first are %+v", len(o.list), top)
	}
	for _, f := range o.top(1000) {
		if f.Key == "often" && (f.Refused < 400 || f.Refused-f.Error > 400) {
			t.Errorf("400 refusals, the list says %d to %d", f.Refused-f.Error, f.Refused)
		}
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				o.note(keyOf(i), func() string { return "" })
				o.top(3)
			}
		})
	}
	wg.Wait()
}

// What may be a secret is not shown.
func TestDescribeKey(t *testing.T) {
	f := func(key, want string) {
		t.Helper()
		c, errs := read(t, "rate = \"1/s\"\nkey = "+key)
		if errs != "" {
			t.Fatal(errs)
		}
		x := &edge.Exchange{}
		x.Client, x.Path = netip.MustParseAddr("2001:db8::7"), []byte("/x\xff"+strings.Repeat("y", 200))
		x.Req.Set("X-Key", "hush")
		x.Cookie, x.Query = []byte("id=hush"), []byte("k=hush")
		got := c.describeKey(x, "r1", keyOf(1))
		if !strings.HasPrefix(got, want) || strings.Contains(got, "hush") || len(got) > 300 {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	f(`"ip"`, "ip=2001:db8::/64 pk=")
	f(`["route", "path"]`, "route=r1 path=/x?y")
	f(`["header:x-key", "cookie:id", "query:k", "global"]`, "header:X-Key cookie:id query:k global pk=")
}

// A ban gets the length that a reload says, in proportion, and is not found to have ended before.
func TestBanReload(t *testing.T) {
	second := int64(time.Second)
	f := func(ban, other time.Duration, least, most time.Duration) {
		t.Helper()
		b := newBox(100, &Penalty{Strikes: 1, Window: time.Minute, Ban: ban})
		b.strike(keyOf(1), second)
		at := second + int64(ban/2)
		b.set(at, &Penalty{Strikes: 1, Window: time.Minute, Ban: other})
		if got := b.banned(keyOf(1), at+second); got < least || got > most {
			t.Errorf("%v, then %v: %v to pay, want %v to %v", ban, other, got, least, most)
		}
		if later := at + 2*int64(ban); other > ban && b.banned(keyOf(1), later) == 0 {
			t.Errorf("%v, then %v: it has ended when the shorter one would have", ban, other)
		}
		if !b.reset(keyOf(1), at+second) || b.reset(keyOf(1), at+second) || b.banned(keyOf(1), at+second) != 0 {
			t.Errorf("%v, then %v: it cannot be ended once", ban, other)
		}
	}
	f(168*time.Hour, time.Minute, 25*time.Second, 35*time.Second)
	f(time.Minute, 24*time.Hour, 11*time.Hour, 13*time.Hour)
}
