package key

import (
	"bytes"
	"slices"

	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/edge"
)

// Copy returns a request of the cache's own that asks for all of what x asks for.
func (r *Rules) Copy(x *edge.Exchange) *edge.Exchange {
	y := new(edge.Exchange)
	x.Fork(y, nil)
	y.SetMethod([]byte("GET")) // for HEAD too; see carry
	y.Begin(x.Plan.Timeout)
	r.Strip(y)
	return y
}

// Strip takes out of a request what the key does not have, and makes what it has the one that all
// requests with the key get: how this client has written it decides nothing for others.
func (r *Rules) Strip(y *edge.Exchange) {
	r.Omitter.strip(y)
	nameHost(y)
	r.nameClient(y)
	replace(y, "Accept-Encoding", []byte(accept.Offers[accept.Codings(y)]))
	for _, name := range [...]string{"Accept", "Accept-Language", "Accept-Charset"} {
		replace(y, name, accept.AppendPreferences(nil, y, []byte(name)))
	}
	if r.IgnoreNoCache {
		DropNoCache(y)
	}
	for _, name := range r.Headers {
		SetKeyed(y, string(name))
	}
	if len(y.Cookie) > 0 {
		kept := r.keptCookies(y)
		replace(y, "Cookie", kept)
		y.Cookie = kept
	}
	if y.HasQuery {
		q := r.appendQuery(nil, y.Query)
		y.KeepRaw(q, len(q) > 0 || len(y.Query) == 0, y.Cookie, nil)
	}
}

// nameHost writes the host toward the target as the key has it.
func nameHost(y *edge.Exchange) {
	if y.OutHost != nil && bytes.Equal(y.OutHost, y.Authority) {
		y.SetOutHost(AppendAuthority(nil, y.Scheme, y.Authority))
	}
	if v := y.Req.Get("X-Forwarded-Host"); len(v) > 0 {
		replace(y, "X-Forwarded-Host", appendHosts(nil, y.Scheme, v))
	}
}

// nameClient writes the client's address, as the gateway believes it, in place of what proxies before it and
// the client itself have written there, unless that is in the key.
func (r *Rules) nameClient(y *edge.Exchange) {
	if y.Req.Count(forwardedFor) > 0 && y.Client.IsValid() && !r.keys(forwardedFor) {
		replace(y, forwardedFor, []byte(y.Client.Unmap().String()))
	}
}

// keys reports whether a field is in the key by configuration.
func (r *Rules) keys(name string) bool {
	return slices.ContainsFunc(r.Headers, func(other []byte) bool { return string(other) == name })
}

const forwardedFor = "X-Forwarded-For"

// replace makes a field one line, or none when the value is empty.
func replace(y *edge.Exchange, name string, value []byte) {
	switch {
	case len(value) == 0:
		y.Req.Del(name)
		return
	case y.Req.Count(name) == 1 && bytes.Equal(y.Req.Get(name), value):
		return
	}
	y.Req.SetBytes(name, value)
}

// keptCookies returns the cookies that are in the key.
func (r *Rules) keptCookies(y *edge.Exchange) (kept []byte) {
	for _, name := range r.Cookies {
		for v := range bytes.SplitSeq(y.AppendCookie(nil, name), []byte{'\n'}) {
			if len(v) == 0 {
				continue
			}
			if len(kept) > 0 {
				kept = append(kept, "; "...)
			}
			kept = append(append(append(kept, name...), '='), v...)
		}
	}
	return kept
}

// DropNoCache takes out of a request what asks caches for something fresher than they have.
func DropNoCache(x *edge.Exchange) {
	x.Req.Del("Pragma")
	var kept []byte
	for line := range x.Req.All("Cache-Control") {
		kept = fresh.AppendIndifferent(kept, line)
	}
	replace(x, "Cache-Control", kept)
}

// SetKeyed makes a field of the request what its key says of it: a target that reads another line than the
// key does would answer for another key.
func SetKeyed(y *edge.Exchange, name string) {
	if y.Req.Count(name) < 2 {
		return
	}
	all := y.Req.AppendKey(nil, name)
	y.Req.Del(name)
	for v := range bytes.SplitSeq(all, []byte{'\n'}) {
		if len(v) > 0 {
			y.Req.AddBytes(name, v)
		}
	}
}
