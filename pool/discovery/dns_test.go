package discovery

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// zone is a name server. Its records are in the form of zone files; they may be set while it runs.
type zone struct {
	testing.TB
	address string

	mu      sync.Mutex
	records map[question][]dns.RR
	hooks   map[string]func(w dns.ResponseWriter, m *dns.Msg) bool // by name; true: it has answered
	asked   map[string]int                                         // by "NAME TYPE net"
}

func newZone(t testing.TB, records ...string) *zone {
	z := &zone{TB: t, hooks: map[string]func(dns.ResponseWriter, *dns.Msg) bool{}, asked: map[string]int{}}
	z.set(records...)
	var pc net.PacketConn
	var tl net.Listener
	until(t, "a port that is free for both", func() (free bool) {
		var err error
		if tl, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		z.address = tl.Addr().String()
		if pc, err = net.ListenPacket("udp", z.address); err != nil {
			tl.Close()
		}
		return err == nil
	})
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: z}, {Listener: tl, Handler: z}} {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		done := make(chan error, 1)
		go func() { done <- s.ActivateAndServe() }()
		<-up
		t.Cleanup(func() { _ = s.Shutdown(); <-done })
	}
	return z
}

func (z *zone) set(records ...string) {
	z.Helper()
	all := map[question][]dns.RR{}
	for _, record := range records {
		rr, err := dns.NewRR(record)
		if err != nil {
			z.Fatal(err)
		}
		q := question{strings.ToLower(rr.Header().Name), rr.Header().Rrtype}
		all[q] = append(all[q], rr)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records = all
}

// hook lets f answer for a name; nil: the records do again.
func (z *zone) hook(name string, f func(w dns.ResponseWriter, m *dns.Msg) bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.hooks[name] = f
}

func (z *zone) count(what string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked[what]
}

func (z *zone) ServeDNS(w dns.ResponseWriter, m *dns.Msg) {
	q := question{strings.ToLower(m.Question[0].Name), m.Question[0].Qtype}
	z.mu.Lock()
	z.asked[q.name+" "+dns.TypeToString[q.kind]+" "+w.RemoteAddr().Network()]++
	hook, reply := z.hooks[q.name], z.answer(m, q)
	z.mu.Unlock()
	if hook != nil && hook(w, m) {
		return
	}
	_ = w.WriteMsg(reply)
}

func (z *zone) answer(m *dns.Msg, q question) *dns.Msg {
	reply := new(dns.Msg).SetReply(m)
	for range 5 {
		alias := z.records[question{q.name, dns.TypeCNAME}]
		if alias == nil {
			break
		}
		reply.Answer = append(reply.Answer, alias...)
		q.name = strings.ToLower(alias[0].(*dns.CNAME).Target)
	}
	reply.Answer = append(reply.Answer, z.records[q]...)
	reply.Rcode = dns.RcodeNameError
	for other := range z.records {
		if other.name == q.name {
			reply.Rcode = dns.RcodeSuccess
		}
	}
	return reply
}

// rcode answers with a code alone.
func rcode(code int) func(dns.ResponseWriter, *dns.Msg) bool {
	return func(w dns.ResponseWriter, m *dns.Msg) bool {
		_ = w.WriteMsg(new(dns.Msg).SetRcode(m, code))
		return true
	}
}

// quick asks a server in tests: every tenth of a second.
func quick(t testing.TB, form string, servers ...string) Source {
	t.Helper()
	return sourceOf(t, `{ dns = %q, servers = ["%s"], min_ttl = "100ms", max_ttl = "100ms" }`, form,
		strings.Join(servers, `", "`))
}

func TestDNSHost(t *testing.T) {
	z := newZone(t, "users.example. 0 A 10.0.0.2", "users.example. 0 A 10.0.0.1", "users.example. 0 AAAA fd00::1")
	l := listen(t, quick(t, "a:Users.Example:80", z.address))
	l.wants("10.0.0.1:80 10.0.0.2:80 [fd00::1]:80")
	z.set("users.example. 0 A 10.0.0.3", "users.example. 0 A 0.0.0.0")
	l.wants("10.0.0.3:80")

	z.set("users.example. 0 TXT nothing")
	l.fails("empty")
	z.set()
	l.failsOnce("no such name")
	z.set("users.example. 0 A 10.0.0.3")
	l.wants("10.0.0.3:80")
	z.hook("users.example.", rcode(dns.RcodeServerFailure))
	l.fails("SERVFAIL")
	z.hook("users.example.", nil)
	l.wants("10.0.0.3:80")

	z.set("users.example. 0 CNAME a.example.", "a.example. 0 CNAME b.example.", "b.example. 0 AAAA fd00::2")
	l.wants("[fd00::2]:80")
	z.set("users.example. 0 CNAME a.example.", "a.example. 0 CNAME users.example.")
	l.fails("empty")

	listen(t, quick(t, "aaaa:six.example.:80", newZone(t, "six.example. 0 A 10.0.0.1",
		"six.example. 0 AAAA fd00::3").address)).wants("[fd00::3]:80")
}

// TestDNSFamilies: a family that fails keeps its addresses while the other is answered, and is no obstacle if
// it was never answered.
func TestDNSFamilies(t *testing.T) {
	z := newZone(t, "u. 0 A 10.0.0.1", "u. 0 AAAA fd00::1")
	failing := func(kind uint16) func(w dns.ResponseWriter, m *dns.Msg) bool {
		return func(w dns.ResponseWriter, m *dns.Msg) bool {
			return m.Question[0].Qtype == kind && rcode(dns.RcodeServerFailure)(w, m)
		}
	}
	z.hook("u.", failing(dns.TypeAAAA))
	l := listen(t, quick(t, "a:u:80", z.address))
	l.wants("10.0.0.1:80")
	z.hook("u.", nil)
	l.wants("10.0.0.1:80 [fd00::1]:80")
	z.hook("u.", failing(dns.TypeAAAA))
	z.set("u. 0 A 10.0.0.2", "u. 0 AAAA fd00::1")
	l.wants("10.0.0.2:80 [fd00::1]:80")
	z.hook("u.", failing(dns.TypeA))
	z.set("u. 0 A 10.0.0.3", "u. 0 TXT x") // of the only family with addresses nothing is known
	l.fails("SERVFAIL")
}

func TestDNSService(t *testing.T) {
	z := newZone(t,
		"_http._tcp.u. 0 SRV 5 0 8080 A.u.", "_http._tcp.u. 0 SRV 5 7 8081 b.u.", "_http._tcp.u. 0 SRV 9 3 80 c.u.",
		"_http._tcp.u. 0 SRV 9 3 80 gone.u.", "_http._tcp.u. 0 SRV 9 3 0 c.u.",
		"a.u. 0 A 10.0.0.1", "b.u. 0 A 10.0.0.2", "b.u. 0 AAAA fd00::2", "c.u. 0 CNAME d.u.", "d.u. 0 A 10.0.0.4")
	s := quick(t, "srv:_http._tcp.u", z.address)
	l := listen(t, s)
	l.wants("10.0.0.1:8080*0 10.0.0.2:8081*7 10.0.0.4:80*3! [fd00::2]:8081*7")
	if n := s.(Dropper).Dropped(); n < 2 {
		t.Errorf("%d dropped", n)
	}
	z.hook("b.u.", rcode(dns.RcodeServerFailure)) // its addresses are those known before
	z.set("_http._tcp.u. 0 SRV 1 1 1 a.u.", "_http._tcp.u. 0 SRV 1 1 2 b.u.", "a.u. 0 A 10.0.0.9")
	l.wants("10.0.0.2:2 10.0.0.9:1 [fd00::2]:2")
	z.set("_http._tcp.u. 0 SRV 1 0 1 a.u.", "_http._tcp.u. 0 SRV 1 0 2 b.u.", "_http._tcp.u. 0 SRV 2 0 3 a.u.",
		"_http._tcp.u. 0 SRV 2 1 4 a.u.", "a.u. 0 A 10.0.0.9") // weights are compared within a priority
	l.wants("10.0.0.2:2 10.0.0.9:1 10.0.0.9:3*0! 10.0.0.9:4! [fd00::2]:2")
	z.hook("a.u.", rcode(dns.RcodeRefused))
	l.fails("name server")
	z.set("_http._tcp.u. 0 SRV 0 0 0 .")
	l.failsOnce("empty")
}

// TestDNSAdditional: addresses that come along with the answer are not asked for.
func TestDNSAdditional(t *testing.T) {
	z := newZone(t, "_a._tcp.u. 9 SRV 5 1 8080 a.u.", "_a._tcp.u. 9 SRV 5 1 8080 b.u.", "b.u. 8 A 10.0.0.2")
	z.hook("_a._tcp.u.", func(w dns.ResponseWriter, m *dns.Msg) bool {
		z.mu.Lock()
		reply := z.answer(m, question{"_a._tcp.u.", dns.TypeSRV})
		z.mu.Unlock()
		a, _ := dns.NewRR("A.u. 7 A 10.0.0.1")
		reply.Extra = append(reply.Extra, a)
		_ = w.WriteMsg(reply)
		return true
	})
	listen(t, quick(t, "srv:_a._tcp.u.", z.address)).wants("10.0.0.1:8080 10.0.0.2:8080")
	if z.count("a.u. A udp") != 0 || z.count("b.u. A udp") == 0 {
		t.Error("asked for the wrong addresses")
	}
}

// TestDNSTruncated: an answer that does not fit into a packet is fetched by TCP.
func TestDNSTruncated(t *testing.T) {
	var records []string
	for i := range 200 {
		records = append(records, fmt.Sprintf("u. 0 A 10.0.1.%d", i))
	}
	z := newZone(t, records...)
	z.hook("u.", func(w dns.ResponseWriter, m *dns.Msg) bool {
		if w.RemoteAddr().Network() != "udp" {
			return false
		}
		z.mu.Lock()
		reply := z.answer(m, question{"u.", m.Question[0].Qtype})
		z.mu.Unlock()
		reply.Truncate(dns.MinMsgSize)
		_ = w.WriteMsg(reply)
		return true
	})
	l := listen(t, quick(t, "a:u:80", z.address))
	if x := l.next(); len(x.set) != 200 {
		t.Fatalf("%d, %v", len(x.set), x.err)
	}
	if z.count("u. A tcp") == 0 || z.count("u. AAAA tcp") != 0 {
		t.Error("TCP is for what does not fit")
	}
}

// TestDNSServers: servers that fail, do not answer, send something else or do not know the extension of RFC
// 6891.
func TestDNSServers(t *testing.T) {
	bad := newZone(t)
	good := newZone(t, "u. 0 A 10.0.0.1")
	want := "10.0.0.1:80"
	f := func(hook func(w dns.ResponseWriter, m *dns.Msg) bool) {
		t.Helper()
		bad.hook("u.", hook)
		l := listen(t, quick(t, "a:u:80", bad.address, good.address))
		defer l.end()
		if x := l.next(); text(x.set) != want {
			t.Errorf("%v, want %s", x, want)
		}
	}
	f(rcode(dns.RcodeServerFailure))
	f(rcode(dns.RcodeRefused))
	f(rcode(dns.RcodeFormatError))
	f(func(dns.ResponseWriter, *dns.Msg) bool { return true }) // silent
	f(func(w dns.ResponseWriter, m *dns.Msg) bool {
		for range strayPackets {
			w.Write([]byte("nonsense"))
		}
		return true
	})
	bad.set("u. 0 A 10.0.0.2") // from here on it is the one that answers
	want = "10.0.0.2:80"
	f(func(w dns.ResponseWriter, m *dns.Msg) bool {
		return m.IsEdns0() != nil && rcode(dns.RcodeFormatError)(w, m)
	})
	f(func(w dns.ResponseWriter, m *dns.Msg) bool { // forged answers come first
		rr, _ := dns.NewRR("v. 0 A 10.6.6.6")
		forged := new(dns.Msg).SetReply(m)
		forged.Answer = []dns.RR{rr}
		forged.Question = []dns.Question{{Name: "v.", Qtype: dns.TypeA, Qclass: dns.ClassINET}}
		_ = w.WriteMsg(forged)
		forged = new(dns.Msg).SetReply(m)
		forged.Id++
		forged.Answer = []dns.RR{rr}
		_ = w.WriteMsg(forged)
		return false
	})
}

// TestResolvConf: which servers are asked for which names stands in a file that may change.
func TestResolvConf(t *testing.T) {
	one := newZone(t, "users.b.example. 0 A 10.0.0.1", "users.c.example. 0 A 10.0.0.2", "users.dot. 0 A 10.0.0.3",
		"users.dot.b.example. 0 A 10.0.0.4")
	two := newZone(t, "users.b.example. 0 A 10.0.1.1")
	path := write(t, t.TempDir(), "resolv.conf", "search a.example b.example c.example\nnameserver "+one.address+"\n")
	source := func(form string) Source {
		s := sourceOf(t, `{ dns = %q, min_ttl = "100ms", max_ttl = "100ms" }`, form)
		s.(*dnsSource).resolvConf = path
		return s
	}
	l := listen(t, source("a:users:80"))
	l.wants("10.0.0.1:80")
	listen(t, source("a:users.dot:80")).wants("10.0.0.3:80")
	if one.count("users.dot.a.example. A udp") != 0 {
		t.Error("a name with a dot goes through the search list first")
	}
	listen(t, source("a:users.:80")).fails("no such name")

	one.hook("users.b.example.", rcode(dns.RcodeServerFailure)) // and not that of c.example
	l.fails("SERVFAIL")
	if err := os.WriteFile(path, []byte("# none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.failsOnce("names no name server")
	if err := os.WriteFile(path, []byte("search b.example\noptions ndots:2\nnameserver "+two.address+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.wants("10.0.1.1:80")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l.fails("which name servers")
}

func TestTTL(t *testing.T) {
	s := sourceOf(t, `{ dns = "a:u:80" }`).(*dnsSource)
	f := func(ttl, least time.Duration) {
		t.Helper()
		for range 1000 {
			if d := s.pause(ttl); d < least || d > least+least/10 {
				t.Fatalf("%s: %s", ttl, d)
			}
		}
	}
	f(0, 5*time.Second)
	f(time.Minute, time.Minute)
	f(time.Hour, 5*time.Minute)
	f(longTTL, 5*time.Minute)

	ttl := func(want time.Duration, name string, records ...string) {
		t.Helper()
		z := newZone(t, records...)
		s := sourceOf(t, `{ dns = %q, servers = [%q] }`, name, z.address).(*dnsSource)
		l := &lookup{dnsSource: s, resolver: newResolver(s.servers, "")}
		if _, got, err := l.find(t.Context()); err != nil || got != want {
			t.Errorf("%v: %s, %v; want %s", records, got, err, want)
		}
	}
	ttl(9*time.Second, "a:u:1", "u. 10 A 10.0.0.1", "u. 9 A 10.0.0.2", "u. 11 AAAA fd00::1")
	ttl(10*time.Second, "a:u:1", "u. 10 A 10.0.0.1", "u. 1 TXT x")
	ttl(3*time.Second, "a:u:1", "u. 3 CNAME v.", "v. 9 A 10.0.0.2")
	ttl(0, "a:u:1", "u. 4294967295 A 10.0.0.1")
	ttl(4*time.Second, "srv:u", "u. 4 SRV 1 1 1 v.", "v. 9 A 10.0.0.2")
	ttl(8*time.Second, "srv:u", "u. 9 SRV 1 1 1 v.", "v. 8 A 10.0.0.2")
}

func FuzzDNS(f *testing.F) {
	for _, records := range [][]string{
		{"u. 9 A 10.0.0.1", "u. 9 AAAA fd00::1"},
		{"u. 9 SRV 1 0 80 v.", "u. 9 SRV 2 3 80 w.", "v. 1 A 10.0.0.2"},
		{"u. 9 CNAME v.", "v. 9 CNAME u."},
	} {
		m := new(dns.Msg).SetQuestion("u.", dns.TypeSRV)
		for _, record := range records {
			rr, err := dns.NewRR(record)
			if err != nil {
				f.Fatal(err)
			}
			m.Answer, m.Extra = append(m.Answer, rr), append(m.Extra, rr)
		}
		packet, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		m := new(dns.Msg)
		if m.Unpack(packet) != nil {
			return
		}
		a := &answer{}
		records, ttl := services(m, "u.")
		for _, r := range records {
			r.addTo(a, additional(m, bothTypes)[r.host])
		}
		for _, kind := range bothTypes {
			addrs, ttl2 := addressesIn(m, question{"u.", kind})
			for _, ip := range addrs {
				a.add(Endpoint{Address: net.JoinHostPort(ip.String(), "80")})
			}
			ttl = min(ttl, ttl2)
		}
		if ttl < 0 || ttl > longTTL {
			t.Fatal(ttl)
		}
		checkSet(t, a)
	})
}
