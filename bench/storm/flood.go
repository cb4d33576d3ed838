package storm

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Shot is one request of a flood.
type Shot struct {
	Due    time.Duration // since the flood began
	Took   time.Duration // from when it was due to its whole answer
	Status int           // 0: no answer
	Err    error
}

// Rate gives how many requests a second are due at a moment of a flood.
type Rate func(at time.Duration) float64

// Steady is a rate that stays.
func Steady(rate float64) Rate { return func(time.Duration) float64 { return rate } }

// Options are how a flood is made.
type Options struct {
	Addr    string // of the gateway
	Rate    Rate
	Workers int                // connections, and how many requests can be under way
	Request func(i int) string // the whole i-th request; nil: a GET
	// Patience is how long a request may wait for a free connection; it is not sent afterwards. 0: for ever.
	Patience time.Duration
}

// ErrGaveUp is the error of a request whose patience has ended before it could be sent.
var ErrGaveUp = errors.New("not sent: no connection was free in time")

// Flood is a stream of requests. They are sent when they are due, whatever has become of those before.
type Flood struct {
	opt     Options
	began   time.Time
	due     chan duty
	workers sync.WaitGroup
	quit    chan struct{}

	mu      sync.Mutex // guards samples
	samples []Shot
}

type duty struct {
	i  int
	at time.Duration
}

// Pour starts a flood.
func Pour(opt Options) *Flood {
	if opt.Request == nil {
		opt.Request = func(int) string { return "GET /x HTTP/1.1\r\nHost: h\r\n\r\n" }
	}
	s := &Flood{opt: opt, began: time.Now(), due: make(chan duty, 1<<17), quit: make(chan struct{})}
	for range opt.Workers {
		s.workers.Go(s.work)
	}
	s.workers.Go(s.pace)
	return s
}

// pace hands the requests out when they are due.
func (s *Flood) pace() {
	defer close(s.due)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	next := duty{}
	for {
		select {
		case <-s.quit:
			return
		case <-tick.C:
		}
		for next.at <= s.Since() {
			s.due <- next
			next.i++
			next.at += time.Duration(float64(time.Second) / s.opt.Rate(next.at))
		}
	}
}

func (s *Flood) work() {
	var c net.Conn
	var br *bufio.Reader
	for d := range s.due {
		m := Shot{Due: d.at}
		if s.opt.Patience > 0 && s.Since() > d.at+s.opt.Patience {
			s.note(m, ErrGaveUp)
			continue
		}
		if c == nil {
			if c, m.Err = net.DialTimeout("tcp", s.opt.Addr, 5*time.Second); m.Err == nil {
				br = bufio.NewReader(c)
			} else {
				c = nil
			}
		}
		if c != nil {
			var closes bool
			if m.Status, closes, m.Err = exchange(c, br, s.opt.Request(d.i)); closes || m.Err != nil {
				c.Close()
				c = nil
			}
		}
		s.note(m, m.Err)
	}
	if c != nil {
		c.Close()
	}
}

func (s *Flood) note(m Shot, err error) {
	m.Took, m.Err = s.Since()-m.Due, err
	s.mu.Lock()
	s.samples = append(s.samples, m)
	s.mu.Unlock()
}

// exchange sends a request and reads the whole answer.
func exchange(c net.Conn, br *bufio.Reader, request string) (status int, closes bool, err error) {
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return 0, false, err
	}
	if _, err := io.WriteString(c, request); err != nil {
		return 0, false, err
	}
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return 0, false, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode, resp.Close, err
}

// Stop ends the flood, waits for the answers that are due, and returns all requests. It may be called again.
func (s *Flood) Stop() []Shot {
	select {
	case <-s.quit:
	default:
		close(s.quit)
	}
	s.workers.Wait()
	return s.samples
}

// Ended returns how many requests have come to an end.
func (s *Flood) Ended() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.samples)
}

// Since is the flood's clock.
func (s *Flood) Since() time.Duration { return time.Since(s.began) }

// Wait lets the flood run until its clock shows at.
func (s *Flood) Wait(at time.Duration) { time.Sleep(at - s.Since()) }

// Figures are what a part of a flood came to.
type Figures struct {
	N, Bad         int
	P50, P99, Most time.Duration
	Statuses       map[string]int // by status, or the error in its place
}

// Between sums up the requests that were due between two moments; those without an answer of 2xx are bad.
func Between(samples []Shot, from, to time.Duration) (f Figures) {
	var took []time.Duration
	f.Statuses = map[string]int{}
	for _, m := range samples {
		if m.Due < from || m.Due >= to {
			continue
		}
		f.N++
		took = append(took, m.Took)
		key := strconv.Itoa(m.Status)
		if m.Err != nil {
			key = m.Err.Error()
		}
		f.Statuses[key]++
		if m.Status/100 != 2 || m.Err != nil {
			f.Bad++
		}
	}
	if f.N == 0 {
		return f
	}
	slices.Sort(took)
	f.P50, f.P99, f.Most = took[f.N/2], took[f.N*99/100], took[f.N-1]
	return f
}

// Goodput returns how many answers of 2xx a second came within the time, for requests due between two
// moments.
func Goodput(samples []Shot, from, to, within time.Duration) float64 {
	good := 0
	for _, m := range samples {
		if m.Due >= from && m.Due < to && m.Status/100 == 2 && m.Err == nil && m.Took < within {
			good++
		}
	}
	return float64(good) / (to - from).Seconds()
}

// String is the figures on one line.
func (f Figures) String() string {
	return fmt.Sprintf("%d requests, %d bad (%.3f %%), p50 %v, p99 %v, longest %v %v", f.N, f.Bad,
		100*float64(f.Bad)/float64(max(f.N, 1)), f.P50.Round(10*time.Microsecond),
		f.P99.Round(10*time.Microsecond), f.Most.Round(time.Millisecond), f.Statuses)
}
