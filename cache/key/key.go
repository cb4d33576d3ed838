package key

import (
	"bytes"
	"slices"
	"strings"

	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
	"github.com/penstock-edge/penstock/edge/lib/values"
)

// Rules are what tells requests apart, as a cache is configured.
type Rules struct {
	SortQuery            bool     // parameters in another order are the same
	QueryKeep, QueryDrop []string // parameters that alone belong to keys, and those that do not; * at the end
	Headers, Cookies     [][]byte // names of fields, in canonical form, and of cookies that are in keys
	MergeSlashes         bool     // in paths
	IgnoreNoCache        bool     // a client's wish for something fresher does not reach the target

	Omitter *omitter
}

// New returns rules with these fields in keys.
func New(headers [][]byte) *Rules {
	return &Rules{Headers: headers, Omitter: newOmitter(headers)}
}

// AppendURL appends what a request asks for, in the one form that the cache knows it in.
func (r *Rules) AppendURL(dst []byte, x *edge.Exchange) []byte {
	dst = r.appendPath(dst, x)
	if !x.HasQuery {
		return dst
	}
	at := len(dst)
	dst = r.appendQuery(append(dst, '?'), x.Query)
	if len(dst) == at+1 && len(x.Query) > 0 {
		return dst[:at] // nothing of it is left
	}
	return dst
}

// appendPath appends a URL without its query.
func (*Rules) appendPath(dst []byte, x *edge.Exchange) []byte {
	dst = append(append(dst, x.Scheme...), "://"...)
	return append(AppendAuthority(dst, x.Scheme, x.Authority), x.Path...)
}

// appendQuery appends the parameters of a query that belong to the key. They are not decoded: two that a
// target may tell apart stay apart.
func (r *Rules) appendQuery(dst, query []byte) []byte {
	if !r.picks() {
		return append(dst, query...)
	}
	var room [16][]byte
	pairs := room[:0]
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, []byte{'&'})
		name, _, _ := bytes.Cut(pair, []byte{'='})
		if r.keeps(name) && len(pair) > 0 {
			pairs = append(pairs, pair)
		}
	}
	if r.SortQuery {
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

// picks reports whether not all of a query belongs to the key as it is.
func (r *Rules) picks() bool { return len(r.QueryKeep) > 0 || len(r.QueryDrop) > 0 || r.SortQuery }

func byName(a, b []byte) int {
	x, _, _ := bytes.Cut(a, []byte{'='})
	y, _, _ := bytes.Cut(b, []byte{'='})
	return values.CompareDecoded(x, y) // as targets tell names apart
}

func (r *Rules) keeps(name []byte) bool {
	return (len(r.QueryKeep) == 0 || contains(r.QueryKeep, name)) && !contains(r.QueryDrop, name)
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

// Append appends the whole key of a request: what it is asked of, the URL, and what else tells
// requests apart by configuration. url is where in the key the URL is.
func (r *Rules) Append(dst []byte, x *edge.Exchange, route string) (text []byte, url []byte) {
	dst = append(appendAsked(dst, x, route), 0)
	at := len(dst)
	dst = r.AppendURL(dst, x)
	end := len(dst)
	dst = r.appendFields(dst, x)
	return dst, dst[at:end]
}

// AppendByRule appends the whole key of all requests whose queries say the same under a rule; without a
// rule that of what knows the rule of the path.
func (r *Rules) AppendByRule(dst []byte, x *edge.Exchange, route string, q *fresh.QueryRule) []byte {
	dst = append(appendAsked(dst, x, route), 0)
	dst = append(append(r.appendPath(dst, x), '?'), ruled)
	if q != nil {
		query := x.Query
		if r.picks() {
			query = r.appendQuery(nil, query)
		}
		dst = q.AppendQuery(append(dst, ruled), query)
	}
	return r.appendFields(dst, x)
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
	if dst = AppendAuthority(dst, x.Scheme, x.Authority); bytes.Equal(dst[at:end], dst[end:]) {
		return dst[:at-1]
	}
	return dst[:end]
}

// URLIn returns the URL in a whole key; of one by a rule for queries, without the query.
func URLIn(text []byte) []byte {
	url := text[bytes.IndexByte(text, 0)+1:]
	if end := bytes.IndexFunc(url, func(r rune) bool { return r < ' ' }); end >= 0 {
		url = url[:end]
	}
	return url
}

// ruled is in no URL.
const ruled = 1

// appendFields appends what of a request's fields is in its key.
func (r *Rules) appendFields(dst []byte, x *edge.Exchange) []byte {
	for _, name := range r.Headers {
		dst = append(dst, 0)
		switch {
		case accept.IsAcceptEncoding(name):
			dst = append(dst, accept.Offers[accept.Codings(x)]...)
		case accept.IsPreference(name):
			dst = accept.AppendPreferences(dst, x, name)
		default:
			dst = x.Req.AppendKey(dst, header.View(name))
		}
	}
	for _, name := range r.Cookies {
		dst = x.AppendCookie(append(dst, 0), name)
	}
	return dst
}
