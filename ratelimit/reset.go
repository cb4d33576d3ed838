package ratelimit

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/edge/lib/values"
	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

// reset serves POST /rate_limits/{name}/reset: what a key has spent is forgotten, and its penalty.
func (ls *limits) reset(ctx *fasthttp.RequestCtx) {
	l := ls.named(ctx)
	if l == nil {
		ctx.Error("no such limit; GET /status lists them\n", fasthttp.StatusNotFound)
		return
	}
	parts, address, err := readReset(ctx.URI().QueryString())
	var b []byte
	if err == nil {
		b, err = l.conf.makeKey(parts, address)
	}
	if err == nil && l.kept.reset == nil {
		err = fmt.Errorf("the limit counts requests under way: there is nothing to forget")
	}
	if err != nil {
		ctx.Error(err.Error()+"\n", fasthttp.StatusBadRequest)
		return
	}
	n, err := l.reset(l.hash(b), clock.Now())
	if err != nil {
		ctx.Error("forgotten on this gateway alone: the server of [redis] does not answer\n",
			fasthttp.StatusServiceUnavailable)
		ls.h.Log.Warn("a rate limit could not be reset on the server", "limit", l.name, "error", err)
		return
	}
	ls.h.Log.Info("rate limit reset by the admin interface", "limit", l.name, "keys", n)
	ctx.SetContentType("application/json")
	fmt.Fprintf(ctx, "{\"reset\": %d}\n", n)
}

// readReset returns the parts of the key that a query names, and the address.
func readReset(query []byte) (parts []string, address string, err error) {
	args, err := values.Arguments(query)
	for _, a := range args {
		switch {
		case a.Name == "key":
			parts = append(parts, a.Value)
		case a.Name != "address":
			return nil, "", fmt.Errorf("%q means nothing here: want key=VALUE, and address=ADDRESS", a.Name)
		case address != "":
			return nil, "", fmt.Errorf("address is there twice")
		default:
			address = a.Value
		}
	}
	return parts, address, err
}

func (ls *limits) named(ctx *fasthttp.RequestCtx) *limit {
	name, _ := ctx.UserValue("name").(string)
	for _, l := range ls.list {
		if l.name == name && l.kept != nil {
			return l
		}
	}
	return nil
}

// reset forgets a key and returns how many there were: 0 or 1.
func (l *limit) reset(k bucket.Key, now int64) (n int, err error) {
	known, err := l.kept.reset(k, now)
	if b := l.kept.box; b != nil && b.reset(k, now) {
		known = true
	}
	if known {
		n = 1
	}
	return n, err
}

// makeKey returns what appendKey does for requests with these values of the parts of the key. address is
// that of clients whose requests lack a part, where it stands for that.
func (c *Config) makeKey(values []string, address string) ([]byte, error) {
	if len(values) != len(c.parts) {
		return nil, fmt.Errorf("want ?key=VALUE once for each part of the key, in this order: %s; %d are given",
			c.keyNames(), len(values))
	}
	var key []byte
	stands := false
	for i := range c.parts {
		at := len(key)
		var err error
		mark := byte(0)
		key = append(key, 0, 0, 0, 0)
		switch {
		case values[i] != "" || c.parts[i].kind < byHeader:
			key, err = c.parts[i].appendText(key, c, values[i])
		case c.Missing == "ip":
			mark, stands = substitute, true
			if key, err = c.appendAddress(key, address); err != nil {
				err = fmt.Errorf("requests without it have a key of their own for each address: "+
					"want &address=ADDRESS; %w", err)
			}
		case c.Missing != "one":
			err = fmt.Errorf("requests without it have no key, as missing is %q", c.Missing)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.parts[i].String(), err)
		}
		putLength(key[at:], mark)
	}
	if address != "" && !stands {
		return nil, fmt.Errorf("address stands for a part that is missing, and none is")
	}
	return key, nil
}

// appendText appends what a part with this value is in a key.
func (p *part) appendText(dst []byte, c *Config, value string) ([]byte, error) {
	switch p.kind {
	case byIP:
		return c.appendAddress(dst, value)
	case byGlobal:
		if value != "" && value != "global" {
			return nil, fmt.Errorf("all requests share one key, which is called global, not %q", value)
		}
		return dst, nil
	case byHost:
		value = strings.ToLower(value)
	}
	return append(dst, value...), nil
}

func (c *Config) appendAddress(dst []byte, text string) ([]byte, error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return nil, fmt.Errorf("%q is not an address", text)
	}
	return appendNetwork(dst, a, c.IPv4Prefix, c.IPv6Prefix), nil
}
