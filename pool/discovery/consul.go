package discovery

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/chance"
)

// queryInterval is the least time between the starts of two blocking queries: old agents answer on every
// change of anything.
const queryInterval = 200 * time.Millisecond

// consulSource asks an agent by blocking queries: each is answered when the service changes, or after Wait.
type consulSource struct {
	origin
	Consul
	base string // scheme and authority
}

func (s *consulSource) String() string {
	text := "consul " + s.Service + " at " + s.base
	for _, part := range []struct{ name, value string }{{"datacenter", s.Datacenter}, {"tag", s.Tag}} {
		if part.value != "" {
			text += ", " + part.name + " " + part.value
		}
	}
	if !s.PassingOnly {
		text += ", passing or not"
	}
	return text
}

func (s *consulSource) Run(ctx context.Context, tell func([]Endpoint, error)) {
	c := &caller{tlsFiles: tlsFiles{ca: s.CA}, secrets: []string{s.Token.Reveal()}}
	defer c.close()
	run(ctx, &teller{tell: tell, origin: &s.origin}, func(ctx context.Context, t *teller) error {
		return s.watch(ctx, c, t)
	})
}

// watch asks until something fails. The first query of each session is answered at once.
func (s *consulSource) watch(ctx context.Context, c *caller, t *teller) error {
	var index uint64
	for {
		start := time.Now()
		entries, next, err := s.ask(ctx, c, index)
		if err != nil {
			return fmt.Errorf("cannot ask Consul: %w", err)
		}
		t.watched(ctx, targetsOf(entries))
		if next < index {
			next = 0 // the servers have lost their state: begin anew
		}
		index = next
		if !wait(ctx, queryInterval+chance.Duration(queryInterval/4)-time.Since(start)) {
			return nil
		}
	}
}

// ask returns the instances of the service once they are newer than index, and their own index.
func (s *consulSource) ask(ctx context.Context, c *caller, index uint64) ([]consulEntry, uint64, error) {
	q := url.Values{}
	set := func(key, value string) {
		if value != "" {
			q.Set(key, value)
		}
	}
	set("dc", s.Datacenter)
	set("tag", s.Tag)
	set("near", s.Near)
	if s.PassingOnly {
		q.Set("passing", "1")
	}
	timeout := callTimeout
	if index > 0 {
		q.Set("index", strconv.FormatUint(index, 10))
		q.Set("wait", strconv.FormatInt(s.Wait.Milliseconds(), 10)+"ms")
		timeout += s.Wait + s.Wait/16 // the agent adds up to a sixteenth
	}
	u := s.base + "/v1/health/service/" + url.PathEscape(s.Service) + "?" + q.Encode()
	req, err := http.NewRequest(http.MethodGet, u, nil)
	if err != nil {
		return nil, 0, err
	}
	if token := s.Token.Reveal(); token != "" {
		req.Header.Set("X-Consul-Token", token)
	}
	var entries []consulEntry
	head, err := c.call(ctx, timeout, req, &entries)
	if err != nil {
		return nil, 0, err
	}
	next, err := strconv.ParseUint(head.Get("X-Consul-Index"), 10, 64)
	if err != nil || next == 0 {
		return nil, 0, fmt.Errorf("its answer has no index above 0, but %s", quote(head.Get("X-Consul-Index")))
	}
	return entries, next, nil
}

// consulEntry is what is read of an instance of a service.
type consulEntry struct {
	Node struct {
		Address string
		Meta    map[string]string
	}
	Service struct {
		Address string
		Port    int
		Meta    map[string]string
		Weights struct{ Passing, Warning *int } // nil: Consul's own default of 1
	}
	Checks []struct{ Status string }
}

// weight returns that of an instance which passes all checks, or that of one which warns, as its checks are.
func (e *consulEntry) weight() int32 {
	of := e.Service.Weights.Passing
	if e.warns() {
		of = e.Service.Weights.Warning
	}
	if of == nil {
		return 1
	}
	return int32(min(max(*of, 0), maxWeight))
}

// warns reports whether the worst of the checks is a warning.
func (e *consulEntry) warns() bool {
	warning := false
	for _, c := range e.Checks {
		switch c.Status {
		case "warning":
			warning = true
		case "critical":
			return false
		}
	}
	return warning
}

func targetsOf(entries []consulEntry) *answer {
	a := &answer{}
	for i := range entries {
		e := &entries[i]
		host, zone := e.Service.Address, e.Service.Meta["zone"]
		if host == "" {
			host = e.Node.Address
		}
		if zone == "" {
			zone = e.Node.Meta["zone"]
		}
		a.add(Endpoint{
			Address: net.JoinHostPort(host, strconv.Itoa(e.Service.Port)),
			Weight:  e.weight(),
			Zone:    zone,
		})
	}
	return a
}
