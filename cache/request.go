package cache

import (
	"bytes"

	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
)

// copyRequest returns a request of the cache's own that asks for all of what x asks for.
func (c *cache) copyRequest(x *edge.Exchange) *edge.Exchange {
	y := new(edge.Exchange)
	x.CopyTo(y)
	y.Req.SetMethod("GET") // for HEAD too; see carry
	y.Method = y.Req.Method()
	y.Conn = edge.Discard{}
	y.Times.Start = clock.Now()
	y.Times.Head = y.Times.Start
	if d := x.Plan.Timeout; d > 0 {
		y.Deadline = y.Times.Start + int64(d)
	}
	c.strip(y)
	return y
}

// strip takes out of a request what the key does not have, and what would make the answer one for this
// client alone.
func (c *cache) strip(y *edge.Exchange) {
	for _, name := range unkeyed {
		y.Req.Del(name)
	}
	if a := encodingOf(y.Req.PeekCanonical(acceptEncodingKey)); a != "" {
		y.Req.Set("Accept-Encoding", a)
	} else {
		y.Req.Del("Accept-Encoding")
	}
	if c.conf.IgnoreClientNoCache {
		dropNoCache(y)
	}
	for _, name := range c.conf.keyHeaders {
		c.setKeyed(y, name)
	}
	if len(y.Cookie) > 0 {
		var kept []byte
		for _, name := range c.conf.keyCookies {
			for v := range bytes.SplitSeq(y.AppendCookie(nil, name), lineFeed) {
				if len(v) == 0 {
					continue
				}
				if len(kept) > 0 {
					kept = append(kept, "; "...)
				}
				kept = append(append(append(kept, name...), '='), v...)
			}
		}
		y.Req.Del("Cookie")
		if len(kept) > 0 {
			y.Req.Set("Cookie", string(kept))
		}
		y.Cookie = kept
	}
	if y.HasQuery {
		q := c.conf.appendQuery(nil, y.Query)
		y.KeepRaw(q, len(q) > 0 || len(y.Query) == 0, y.Cookie, nil)
	}
}

// dropNoCache takes out of a request what asks caches for something fresher than they have.
func dropNoCache(x *edge.Exchange) {
	x.Req.DelBytes(pragmaKey)
	var kept []byte
	for _, line := range x.Req.PeekAll("Cache-Control") {
		kept = fresh.AppendIndifferent(kept, line)
	}
	x.Req.Del("Cache-Control")
	if len(kept) > 0 {
		x.Req.SetBytesV("Cache-Control", kept)
	}
}

// setKeyed makes a field of the request what its key says of it: a target that reads another line than the
// key does would answer for another key.
func (*cache) setKeyed(y *edge.Exchange, name []byte) {
	if len(y.Req.PeekAll(string(name))) < 2 {
		return
	}
	all := y.AppendField(nil, name)
	y.Req.DelBytes(name)
	for v := range bytes.SplitSeq(all, lineFeed) {
		if len(v) > 0 {
			y.Req.AddBytesKV(name, v)
		}
	}
}

var lineFeed = []byte{'\n'}

// unkeyed are fields that targets are known to look at, and that are no part of a key, besides those
// that ask for a part or under a condition.
var unkeyed = []string{
	"Range", "If-Range", "If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since",
	"X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override", "X-Http-Method", "X-Method-Override",
	"X-Forwarded-Scheme", "X-Forwarded-Server", "X-Forwarded-Prefix", "X-Forwarded-Path", "X-Host",
	"X-Original-Host", "X-Forwarded-Ssl", "Front-End-Https",
}
