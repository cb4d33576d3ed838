package cache

import (
	"bytes"
	"slices"
	"strings"

	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/store"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
	"github.com/penstock-edge/penstock/edge/lib/values"
)

type key = store.Key

// appendURL appends what a request asks for, in the one form that the cache knows it in.
func (c *Config) appendURL(dst []byte, x *edge.Exchange) []byte {
	dst = c.appendPath(dst, x)
	if !x.HasQuery {
		return dst
	}
	at := len(dst)
	dst = c.appendQuery(append(dst, '?'), x.Query)
	if len(dst) == at+1 && len(x.Query) > 0 {
		return dst[:at] // nothing of it is left
	}
	return dst
}

// appendPath appends a URL without its query.
func (*Config) appendPath(dst []byte, x *edge.Exchange) []byte {
	dst = append(append(dst, x.Scheme...), "://"...)
	return append(appendAuthority(dst, x.Scheme, x.Authority), x.Path...)
}

func lower(b []byte) {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
}

// appendQuery appends the parameters of a query that belong to the key. They are not decoded: two that a
// target may tell apart stay apart.
func (c *Config) appendQuery(dst, query []byte) []byte {
	if !c.picks() {
		return append(dst, query...)
	}
	var room [16][]byte
	pairs := room[:0]
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, ampersand)
		name, _, _ := bytes.Cut(pair, equals)
		if c.keeps(name) && len(pair) > 0 {
			pairs = append(pairs, pair)
		}
	}
	if c.SortQuery {
		slices.SortStableFunc(pairs, byName) // values of one name stay in their order, which may mean something
	}
	for i, p := range pairs {
		if i > 0 {
			dst = append(dst, '&')
		}
		dst = append(dst, p...)
	}
	return dst
}

// picks tells that not all of a query belongs to the key as it is.
func (c *Config) picks() bool { return len(c.QueryKeep) > 0 || len(c.QueryDrop) > 0 || c.SortQuery }

func byName(a, b []byte) int {
	x, _, _ := bytes.Cut(a, equals)
	y, _, _ := bytes.Cut(b, equals)
	return values.CompareDecoded(x, y) // as targets tell names apart
}

func (c *Config) keeps(name []byte) bool {
	return (len(c.QueryKeep) == 0 || contains(c.QueryKeep, name)) && !contains(c.QueryDrop, name)
}

func hasPrefix(b []byte, prefix string) bool {
	return len(b) >= len(prefix) && string(b[:len(prefix)]) == prefix
}

// contains reports whether a name is in a list, in which a * at the end stands for anything.
func contains(list []string, b []byte) bool {
	for _, s := range list {
		if prefix, open := strings.CutSuffix(s, "*"); s == string(b) || open && hasPrefix(b, prefix) {
			return true
		}
	}
	return false
}

// appendKey appends the whole key of a request: what it is asked of, the URL, and what else tells
// requests apart by configuration. url is where in the key the URL is.
func (c *Config) appendKey(dst []byte, x *edge.Exchange, route string) (text []byte, url []byte) {
	dst = append(appendAsked(dst, x, route), 0)
	at := len(dst)
	dst = c.appendURL(dst, x)
	end := len(dst)
	dst = c.appendFields(dst, x)
	return dst, dst[at:end]
}

// appendRuleKey appends the whole key of all requests whose queries say the same under a rule; without a
// rule that of what knows the rule of the path.
func (c *Config) appendRuleKey(dst []byte, x *edge.Exchange, route string, q *fresh.QueryRule) []byte {
	dst = append(appendAsked(dst, x, route), 0)
	dst = append(append(c.appendPath(dst, x), '?'), ruled)
	if q != nil {
		query := x.Query
		if c.picks() {
			query = c.appendQuery(nil, query)
		}
		dst = q.AppendQuery(append(dst, ruled), query)
	}
	return c.appendFields(dst, x)
}

// What stands before the parts of a key that are there only where they differ from the URL. It is in no
// URL, nor in what tells routes apart.
const (
	outPath = 4
	outHost = 5
	outSaid = 6
)

// appendAsked appends what a request is asked of, and as what it reaches that: the route's part, the path
// that a rewrite has made and the host, where these are not those of the URL, and the host that a trusted
// proxy says.
func appendAsked(dst []byte, x *edge.Exchange, route string) []byte {
	dst = append(dst, route...)
	if len(x.OutPath) > 0 && !bytes.Equal(x.OutPath, x.Path) {
		dst = append(append(dst, outPath), x.OutPath...)
	}
	switch {
	case x.OutHost == nil:
		dst = append(dst, outHost)
	case !bytes.Equal(x.OutHost, x.Authority):
		dst = appendHost(append(dst, outHost), x, x.OutHost)
	}
	if x.Trusted && !x.NoClaims {
		if v := x.Req.Get("X-Forwarded-Host"); len(v) > 0 {
			dst = appendHost(append(dst, outSaid), x, v)
		}
	}
	return dst
}

// appendHost appends a host and leaves it, and the byte before it, out when it is that of the URL.
func appendHost(dst []byte, x *edge.Exchange, host []byte) []byte {
	at := len(dst)
	dst = appendHosts(dst, x.Scheme, host)
	end := len(dst)
	if dst = appendAuthority(dst, x.Scheme, x.Authority); bytes.Equal(dst[at:end], dst[end:]) {
		return dst[:at-1]
	}
	return dst[:end]
}

// urlIn returns the URL in a whole key; of one by a rule for queries, without the query.
func urlIn(text []byte) []byte {
	url := text[bytes.IndexByte(text, 0)+1:]
	if end := bytes.IndexFunc(url, func(r rune) bool { return r < ' ' }); end >= 0 {
		url = url[:end]
	}
	return url
}

// ruled is in no URL.
const ruled = 1

// appendFields appends what of a request's fields is in its key.
func (c *Config) appendFields(dst []byte, x *edge.Exchange) []byte {
	for _, name := range c.keyHeaders {
		dst = append(dst, 0)
		switch {
		case isAcceptEncoding(name):
			dst = append(dst, offers[codingsOf(x)]...)
		case isPreference(name):
			dst = appendPreferences(dst, x, name)
		default:
			dst = x.Req.AppendKey(dst, header.View(name))
		}
	}
	for _, name := range c.keyCookies {
		dst = x.AppendCookie(append(dst, 0), name)
	}
	return dst
}

var (
	ampersand = []byte("&")
	equals    = []byte("=")
)
