package front

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
)

func TestArrivals(t *testing.T) {
	var r arrivals
	ms := int64(time.Millisecond)
	one, other := netip.MustParseAddr("1.2.3.4"), netip.MustParseAddr("1.2.3.5")
	ten := config.Rate{Count: 10, Per: time.Second}
	come := func(now int64, a netip.Addr, rate config.Rate, n int) (passed int) {
		for range n {
			if r.allow(now, a, rate) {
				passed++
			}
		}
		return passed
	}
	f := func(at int64, a netip.Addr, rate config.Rate, n, want int) {
		t.Helper()
		if got := come(at, a, rate, n); got != want {
			t.Errorf("at %d ms %d of %d pass, want %d", at/ms, got, n, want)
		}
	}
	f(0, one, config.Rate{}, 1000, 1000)
	f(ms, one, ten, 20, 10)
	f(ms, other, ten, 20, 10)
	f(101*ms, one, ten, 20, 1)
	f(150*ms, one, ten, 20, 0)
	f(601*ms, one, ten, 20, 5)
	f(60_000*ms, one, ten, 20, 10)
	slow := config.Rate{Count: 6, Per: time.Minute}
	f(100_000*ms, one, slow, 5, 1)
	f(109_999*ms, one, slow, 5, 0)
	f(110_000*ms, one, slow, 5, 1)

	// A customer with a /64 of IPv6 is one address.
	passed := 0
	for i := range 100 {
		a := netip.MustParseAddr("2001:db8::").As16()
		a[15] = byte(i)
		passed += come(ms, netip.AddrFrom16(a), ten, 1)
	}
	if passed != 10 {
		t.Errorf("%d of 100 pass from one /64", passed)
	}
}

// Memory is bounded, whoever comes.
func TestArrivalsAreForgotten(t *testing.T) {
	var r arrivals
	rate := config.Rate{Count: 1, Per: time.Second}
	address := func(i uint32) netip.Addr {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], i)
		return netip.AddrFrom4(b)
	}
	for i := range uint32(1_000_000) {
		if !r.allow(int64(i)*1000, address(i), rate) { // a million in a second
			t.Fatal("the first connection of an address is refused")
		}
		if len(r.next) > mostArrivals {
			t.Fatalf("%d addresses are remembered", len(r.next))
		}
	}
	r.allow(int64(time.Hour), address(7), rate)
	for i := range uint32(100) {
		r.allow(int64(time.Hour), address(10_000_000+i), rate)
	}
	if len(r.next) > firstArrivals {
		t.Errorf("%d addresses are remembered after an hour", len(r.next))
	}
}
