package conform

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/bench/rig"
)

// Check is one row: a requirement, and how it is seen.
type Check struct {
	RFC, Section string
	Level        string // "MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY" or "is", for what is defined
	Requirement  string // in a line
	Run          func(*Case)
}

// Name names the row.
func (c *Check) Name() string {
	return "RFC" + c.RFC + "/" + c.Section + "/" + strings.ReplaceAll(c.Requirement, " ", "_")
}

// Levels are the levels that a row may have, the strictest first.
var Levels = []string{"MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "is"}

// Strict reports whether the row's level leaves no choice.
func (c *Check) Strict() bool { return strings.HasPrefix(c.Level, "MUST") }

// Checks returns the table.
func Checks() []Check {
	var all []Check
	for _, part := range [][]Check{
		storing, reusing, revalidating, directing, beyond, partial, telling, targeting, staleness, questions,
		alike, together,
	} {
		all = append(all, part...)
	}
	return all
}

// Outcome is how a proxy did in one row.
type Outcome struct {
	Check
	Err error // nil: as it is required
}

// Run runs the checks against the proxy at addr, behind which the origin is. progress is called before each;
// nil: nobody looks.
func Run(addr string, o *Origin, checks []Check, progress func(done int)) []Outcome {
	var all []Outcome
	for i, c := range checks {
		if progress != nil {
			progress(i)
		}
		// A peer that a row has made crash is given the time to start anew: what follows is not about that.
		err := rig.Answers(addr, 10*time.Second)
		if err == nil {
			err = One(addr, o, i, c)
		}
		all = append(all, Outcome{c, err})
	}
	return all
}

// One runs one check, whose number makes its paths different from those of others.
func One(addr string, o *Origin, number int, c Check) (err error) {
	one := &Case{addr: addr, origin: o, prefix: fmt.Sprintf("/check-%d", number)}
	defer func() {
		if p := recover(); p != nil {
			if p != errStop { //nolint:errorlint // it is what was thrown
				panic(p)
			}
		}
		err = errors.Join(one.errs...)
	}()
	c.Run(one)
	return nil
}

// Case is what a check works with: paths of its own at the origin, and a client of the proxy.
type Case struct {
	addr   string
	origin *Origin
	prefix string
	errs   []error
}

var errStop = errors.New("the check cannot go on")

// Errorf records what is not as required.
func (c *Case) Errorf(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

// stop ends the check with an error.
func (c *Case) stop(err error) {
	c.errs = append(c.errs, err)
	panic(errStop)
}

// On sets what a path answers: a 200 with this body and these fields.
func (c *Case) On(path, body string, fields ...string) {
	c.Do(path, func(*http.Request) Answer { return Answer{Body: body, Fields: fields} })
}

// Do sets what a path answers. f is called for one request at a time.
func (c *Case) Do(path string, f func(*http.Request) Answer) {
	c.origin.mu.Lock()
	defer c.origin.mu.Unlock()
	s := c.origin.scripts[c.prefix+path]
	if s == nil {
		s = &script{}
		c.origin.scripts[c.prefix+path] = s
	}
	s.answer = f
}

// Asked returns the requests for a path that have reached the origin.
func (c *Case) Asked(path string) []*http.Request {
	c.origin.mu.Lock()
	defer c.origin.mu.Unlock()
	if s := c.origin.scripts[c.prefix+path]; s != nil {
		return append([]*http.Request(nil), s.asked...)
	}
	return nil
}

// WantAsked checks how often the origin has been asked for a path by now.
func (c *Case) WantAsked(path string, n int) {
	if got := len(c.Asked(path)); got != n {
		c.Errorf("%s: the origin was asked %d times, want %d", path, got, n)
	}
}

// Eventually waits up to two seconds for something that happens behind an answer; what names it.
func (c *Case) Eventually(what string, cond func() bool) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 400 {
		if cond() {
			return
		}
		<-tick.C
	}
	c.Errorf("within two seconds: not %s", what)
}

// Reply is what the proxy answers.
type Reply struct {
	Status int
	Body   string
	Header http.Header
	Err    error // the body does not end as it should
	// Rest is what comes behind an answer that ends with its head, which should be nothing.
	Rest string
}

// Has reports whether a field of the reply has a text in one of its lines.
func (r Reply) Has(name, text string) bool {
	return strings.Contains(strings.Join(r.Header.Values(name), ", "), text)
}

// Get sends a GET with fields "Name: value".
func (c *Case) Get(path string, fields ...string) Reply { return c.Send("GET", path, "", fields...) }

// Send sends one request on a connection of its own. Without a Host among the fields it is "h.example".
func (c *Case) Send(method, path, body string, fields ...string) Reply {
	conn, err := net.DialTimeout("tcp", c.addr, 5*time.Second)
	if err != nil {
		c.stop(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		c.stop(err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s%s HTTP/1.1\r\n", method, c.prefix, path)
	host := "Host: h.example\r\n"
	for _, f := range fields {
		if strings.HasPrefix(f, "Host: ") {
			host = ""
		}
	}
	b.WriteString(host)
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("Connection: close\r\n\r\n" + body)
	if _, err := conn.Write(b.Bytes()); err != nil {
		c.stop(err)
	}
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		return Reply{Err: err, Header: http.Header{}}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	reply := Reply{Status: resp.StatusCode, Body: string(text), Header: resp.Header, Err: err}
	if method == "HEAD" || resp.StatusCode == http.StatusNotModified {
		rest, _ := io.ReadAll(in) // how the connection ends is not asked here
		reply.Rest = string(rest)
	}
	return reply
}

// Want checks the status and the body of a reply.
func (c *Case) Want(what string, r Reply, status int, body string) {
	if r.Err != nil || r.Status != status || r.Body != body {
		c.Errorf("%s: %d %.60q %v, want %d %.60q", what, r.Status, r.Body, r.Err, status, body)
	}
}

// stored sends two GETs for a path that answers with these fields, and reports whether the second was
// answered without the origin.
func (c *Case) stored(path string, request []string, answer ...string) bool {
	c.On(path, "body", answer...)
	c.Want("first", c.Get(path, request...), 200, "body")
	c.Want("second", c.Get(path, request...), 200, "body")
	return len(c.Asked(path)) == 1
}

// wantStored and wantNotStored judge stored.
func (c *Case) wantStored(path string, request []string, answer ...string) {
	if !c.stored(path, request, answer...) {
		c.Errorf("%q to %q is not stored", answer, request)
	}
}

func (c *Case) wantNotStored(path string, request []string, answer ...string) {
	if c.stored(path, request, answer...) {
		c.Errorf("%q to %q is used without asking", answer, request)
	}
}
