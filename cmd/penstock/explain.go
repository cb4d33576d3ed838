package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/live"
	"github.com/penstock-edge/penstock/edge/route"
)

type explainCmd struct {
	File   string   `arg:"" help:"The configuration." placeholder:"FILE"`
	Method string   `arg:"" help:"Method of the request." placeholder:"METHOD"`
	URL    string   `arg:"" help:"URL of the request." placeholder:"URL"`
	Header []string `short:"H" sep:"none" help:"A field of the request; repeatable." placeholder:"'K: V'"`
	Answer []string `short:"A" sep:"none" help:"A field of a supposed answer; repeatable." placeholder:"'K: V'"`
	Status int      `default:"200" help:"Its status." placeholder:"STATUS"`
	From   string   `default:"192.0.2.1" help:"Address of the client (192.0.2.1)." placeholder:"ADDR"`

	Listener string `help:"Name of the listener (the first one for the scheme of the URL)." placeholder:"NAME"`
}

// Help implements kong.HelpProvider.
func (explainCmd) Help() string {
	return `Nothing is sent. The exit status is 0 when a route takes the request, 2 when none does, and 1
when the configuration has mistakes.

Example:

  penstock explain configs/full.toml GET http://api.example.com/v1/users/7 -H 'X-Beta: yes'
  penstock explain configs/cache.toml GET http://x/a -A 'Cache-Control: max-age=60'`
}

// Run explains one request.
func (k *explainCmd) Run(c *console) error {
	b, errs := load(k.File)
	if errs != nil {
		return complain(c, errs)
	}
	defer b.Close()
	peer, err := netip.ParseAddr(k.From)
	if err != nil {
		return fmt.Errorf("cannot read the address of --from: %w", err)
	}
	x := &edge.Exchange{Request: edge.Request{Conn: nobody{}, Peer: peer, Client: peer}}
	refusal, err := x.Own(k.Method, k.URL, k.Header, b.Config.Server.MergeSlashes)
	if err != nil {
		return fmt.Errorf("cannot explain this: %w", err)
	}
	if x.Listener, err = k.listener(b.Config, x.Scheme); err != nil {
		return err
	}
	c.printf("%s %s\n", k.Method, k.URL)
	if refusal != "" {
		c.printf("refused    %s\n", refusal)
		return exit(2)
	}
	answer, err := k.answer()
	if err != nil {
		return err
	}
	return explain(c, b, x, answer)
}

// listener returns the name of the listener that the request comes in by.
func (k *explainCmd) listener(conf *config.Config, scheme string) (string, error) {
	if k.Listener == "" {
		for i := range conf.Listeners {
			if l := &conf.Listeners[i]; (len(l.Certificates) > 0) == (scheme == "https") {
				return l.Name, nil
			}
		}
		return conf.Listeners[0].Name, nil // behind a proxy that speaks TLS
	}
	for i := range conf.Listeners {
		if conf.Listeners[i].Name == k.Listener {
			return k.Listener, nil
		}
	}
	return "", fmt.Errorf("cannot explain this: the file has no listener named %q", k.Listener)
}

// answer returns the answer that is supposed; nil: none is.
func (k *explainCmd) answer() (*edge.Exchange, error) {
	if len(k.Answer) == 0 {
		return nil, nil //nolint:nilnil // there is none
	}
	var lines []byte
	for _, field := range k.Answer {
		if strings.ContainsAny(field, "\r\n") || strings.IndexByte(field, ':') < 1 {
			return nil, fmt.Errorf("cannot read the field %q of the answer: want 'Name: value'", field)
		}
		lines = append(append(lines, field...), "\r\n"...)
	}
	y := &edge.Exchange{}
	y.Reset()
	y.SetHead(k.Status, nil, lines)
	return y, nil
}

// explain prints the way of x through the routes. Only filters that look at nothing but the request are run:
// those before the route and those that rewrite it.
func explain(c *console, b *live.Built, x, supposed *edge.Exchange) error {
	x.Slot = make([]any, b.Slots)
	x.Plan = b.Nowhere
	if runAll(b.Early, x); x.Local {
		c.printf("redirect   %d to %s\n", x.Status(), x.Resp.Get("Location"))
		return nil
	}
	key := x.RouteKey()
	b.Routes.Lookup(&key, &x.Match)
	nearer(c, b, &key)
	switch x.Match.Status {
	case 200:
	case 405:
		c.printf("no route   405 method_not_allowed, Allow: %s\n", x.Match.Allow)
		return exit(2)
	default:
		c.printf("no route   404 no_route\n")
		return exit(2)
	}
	x.Plan = b.Plans[x.Match.Rule]
	r := &b.Config.Routes[x.Match.Rule]
	c.printf("route      %s (%s)\n", x.Plan.Name, pathOf(r))
	for i, name := range x.Plan.Params {
		c.printf("parameter  %s = %s\n", name, x.Match.ParamAt(i))
	}
	answer, rest := answerOf(b, x.Plan)
	c.printf("answer     %s\n", answer)
	if x.Plan.Upstream != nil {
		sends(c, x)
	}
	for _, line := range rest {
		c.printf("applies    %s\n", line)
	}
	for _, f := range x.Plan.Filters(edge.Lookup) {
		if e, ok := f.(edge.Explainer); ok {
			for _, line := range e.Explain(x, supposed) {
				c.printf("cache      %s\n", line)
			}
		}
	}
	return nil
}

// nearer prints why routes that come close do not take the request.
func nearer(c *console, b *live.Built, key *route.Key) {
	const most = 8
	lost := 0
	for _, one := range b.Routes.Explain(key) {
		if one.Lost == "" {
			break
		}
		if lost++; lost <= most {
			c.printf("not        %s: %s\n", b.Plans[one.Rule].Name, one.Lost)
		}
	}
	if lost > most {
		c.printf("not        %d more\n", lost-most)
	}
}

// sends prints the request as the target would see it.
func sends(c *console, x *edge.Exchange) {
	runAll(x.Plan.Filters(edge.Rewrite), x)
	head := x.AppendHead(nil, "(address of the target)")
	c.printf("sends\n")
	for line := range strings.Lines(string(head)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			c.printf("           %s\n", line)
		}
	}
}

func runAll(filters []edge.Filter, x *edge.Exchange) {
	for _, f := range filters {
		if f.Run(x) != edge.Next {
			return
		}
	}
}

// nobody is the client of a request that is not sent.
type nobody struct{}

// Gone implements edge.ClientConn.
func (nobody) Gone() bool { return false }

// Abort implements edge.ClientConn.
func (nobody) Abort() {}

// NetConn implements edge.ClientConn.
func (nobody) NetConn() *net.TCPConn { return nil }
