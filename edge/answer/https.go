package answer

import (
	"fmt"
	"strconv"
	"sync"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
)

// listenerKeys are those of a [[listener]].
type listenerKeys struct {
	// true: 308 to the same URL over https; or a port, such as 8443.
	RedirectHTTPS httpsPort `toml:"redirect_https" unset:"false" type:"boolean or integer"`
}

// httpsPort is a port that requests are sent on to; 0: they are not.
type httpsPort int

// UnmarshalConfig implements config.Unmarshaler: true is the port of https.
func (p *httpsPort) UnmarshalConfig(v config.Value) error {
	if on, ok := v.Bool(); ok {
		*p = 0
		if on {
			*p = 443
		}
		return nil
	}
	port, ok := v.Int()
	if !ok || port < 1 || port > 65535 {
		return fmt.Errorf("must be true, false or a port from 1 to 65535, is %s", v.Describe())
	}
	*p = httpsPort(port)
	return nil
}

// toHTTPS sends requests that came without TLS to the same URL with it, whatever their route.
type toHTTPS struct {
	listeners []plainListener
}

type plainListener struct {
	name string
	port string // ":8443"; "" for that of https
}

// redirectHTTPS returns nil when no listener asks for it.
func redirectHTTPS(conf *config.Config) edge.Filter {
	f := &toHTTPS{}
	for i := range conf.Listeners {
		l := &conf.Listeners[i]
		var k listenerKeys
		l.Table.Decode(&k)
		switch {
		case k.RedirectHTTPS == 0:
			continue
		case len(l.Certificates) > 0:
			l.Table.Errorf("redirect_https", "this listener speaks TLS itself: put the key on the one that does not")
		}
		one := plainListener{name: l.Name}
		if k.RedirectHTTPS != 443 {
			one.port = ":" + strconv.Itoa(int(k.RedirectHTTPS))
		}
		f.listeners = append(f.listeners, one)
	}
	if f.listeners == nil {
		return nil
	}
	return f
}

var noHost = &edge.Fault{Status: 400, Side: edge.SideClient, Code: "bad_request",
	Detail: "The request has no Host, which the redirect needs."}

// Run implements edge.Filter. A trusted proxy that says https has been asked over TLS.
func (f *toHTTPS) Run(x *edge.Exchange) edge.Verdict {
	if x.Scheme != "http" || len(x.Path) == 0 || x.Path[0] != '/' {
		return edge.Next
	}
	for i := range f.listeners {
		l := &f.listeners[i]
		if l.name != x.Listener {
			continue
		}
		if len(x.Host) == 0 {
			x.Fault = noHost
			return edge.Answered
		}
		room := locations.Get().(*[]byte)
		*room = append(append(append((*room)[:0], "https://"...), x.Host...), l.port...)
		*room = append(*room, x.Path...)
		if x.HasQuery {
			*room = append(append(*room, '?'), x.Query...)
		}
		send(x, 308, *room)
		locations.Put(room)
		return edge.Answered
	}
	return edge.Next
}

// locations is room for what redirects say.
var locations = sync.Pool{New: func() any { return new([]byte) }}

// send makes the answer a redirect; location is copied.
func send(x *edge.Exchange, status int, location []byte) {
	x.Answer(status, "", nil)
	x.Resp.SetBytes("Location", location)
}
