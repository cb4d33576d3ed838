package key

import (
	"bytes"
	"strings"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// omission is a row of the table of fields that a fetch of the cache's own does not send on: targets are
// known to look at them, and the key has none of them.
type omission struct {
	names  string // with a space between two; a * at the end stands for whatever follows
	reason string
}

// omissions is that table. Names count by what is left of them without all that is no letter or digit,
// since targets that put fields into variables do not tell the rest apart.
var omissions = []omission{
	{"Range If-Range If-Match If-None-Match If-Modified-Since If-Unmodified-Since",
		"ask for a part, or under a condition: a fetch is for the whole, under conditions of the cache's own"},
	{"Forwarded* X-Forwarded* X-Forward-For",
		"what proxies say of a client, its host, port, scheme, path or user, who are others for the next one"},
	{"X-Real-Ip True-Client-Ip Client-Ip X-Client-Ip X-Cluster-Client-Ip X-Proxyuser-Ip X-Originating-Ip " +
		"X-Remote-Ip X-Remote-Addr Remote-Addr Fastly-Client-Ip Cf-Connecting-Ip* Cf-Pseudo-Ipv4 Cf-Ipcountry " +
		"X-Azure-Clientip X-Azure-Socketip X-Envoy-External-Address X-Appengine-* Cloudfront-Viewer-*",
		"the client's address, or what is known of it"},
	{"X-Scheme X-Url-Scheme X-Forward-Proto Front-End-Https Cf-Visitor Cloudfront-Forwarded-Proto Fastly-Ssl " +
		"X-Arr-Ssl",
		"another scheme than the key's: redirects and links would lead there"},
	{"X-Host X-Original-Host X-Http-Host-Override X-Host-Override X-Backend-Host Http-Host Proxy-Host",
		"another host than the key's"},
	{"X-Original-Url X-Rewrite-Url X-Original-Uri X-Request-Uri X-Override-Url X-Envoy-Original-Path " +
		"X-Original-Path X-Http-Path-Override Base-Url X-Base-Url Request-Uri Http-Url Proxy-Url Destination",
		"another path than the key's"},
	{"X-Http-Method-Override X-Http-Method X-Method-Override X-Original-Method",
		"another method than GET"},
	{"Proxy", "becomes HTTP_PROXY in programs of the CGI kind: where their own requests go"},
	{"Remote-User X-Remote-User X-Authenticated-User X-Webauth-User X-Auth-Request-* X-Client-Cert " +
		"X-Ssl-Client-* Ssl-Client-*",
		"who the client is, as a proxy says: what that one alone may see is not for others"},
	{"X-Wap-Profile Profile", "what the client's device is, as a document anywhere describes it"},
	{"A-Im", "asks for what has changed since an answer that this client has (RFC 3229)"},
	{"Translate X-Middleware-* X-Invoke-* X-Matched-Path X-Now-Route-Matches X-Nextjs-Data",
		"switch servers and frameworks to sources, other pages or empty ones"},
}

// sent are fields of these kinds that a fetch sends on all the same: the key has what the first two say, and
// of the last one a fetch says no more than who asks (nameClient).
var sent = []string{"X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-For"}

// vital are fields that are read here, or that the gateway sets: what a target could take for one of them
// is left out.
var vital = []string{"Host", "Cookie", "Authorization", "Accept", "Accept-Encoding", "Accept-Language",
	"Accept-Charset", "Cache-Control", "Pragma", "Content-Length", "Content-Type", "Content-Encoding",
	"Content-Language", "Transfer-Encoding",
	"Connection", "Upgrade", "Via", "X-Request-Id"}

// omitter knows the table by folded names.
type omitter struct {
	exact    map[string]bool
	prefixes []string
	known    map[string]bool   // names that are sent, whatever the table says, in lower case
	folded   map[string]string // which one of the names that are read is meant by a folded one, in lower case
}

// newOmitter returns one for keys that have the fields in keyed.
func newOmitter(keyed [][]byte) *omitter {
	o := &omitter{exact: map[string]bool{}, known: map[string]bool{}, folded: map[string]string{}}
	for _, row := range omissions {
		for name := range strings.FieldsSeq(row.names) {
			name, open := strings.CutSuffix(name, "*")
			if folded := string(fold(nil, []byte(name))); open {
				o.prefixes = append(o.prefixes, folded)
			} else {
				o.exact[folded] = true
			}
		}
	}
	for _, name := range vital {
		o.folded[string(fold(nil, []byte(name)))] = strings.ToLower(name)
	}
	for _, name := range sent {
		o.known[strings.ToLower(name)] = true
	}
	for _, name := range keyed {
		low := strings.ToLower(string(name))
		o.known[low], o.folded[string(fold(nil, name))] = true, low
	}
	return o
}

// fold appends the letters and digits of a name, in lower case.
func fold(dst, name []byte) []byte {
	for _, c := range name {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			dst = append(dst, c)
		case 'A' <= c && c <= 'Z':
			dst = append(dst, c+'a'-'A')
		}
	}
	return dst
}

// omits reports whether a field is not sent on by a fetch.
func (o *omitter) omits(name []byte) bool {
	var room, other [64]byte
	low := header.AppendLower(other[:0], name)
	if o.known[string(low)] {
		return false
	}
	folded := fold(room[:0], name)
	if o.exact[string(folded)] {
		return true
	}
	for _, p := range o.prefixes {
		if bytes.HasPrefix(folded, []byte(p)) {
			return true
		}
	}
	if as, ok := o.folded[string(folded)]; ok {
		return as != string(low)
	}
	return !header.IsPlain(name) // a target may take it for a plain one
}

// strip takes out of a request all lines that a fetch does not send on.
func (o *omitter) strip(y *edge.Exchange) {
	y.Req.DelFunc(o.omits)
}

// Lines returns the names of the lines that a fetch for a request does not send on.
func (o *omitter) Lines(x *edge.Exchange) (names []string) {
	for name := range x.Req.Each() {
		if o.omits(name) {
			names = append(names, string(name))
		}
	}
	return names
}

// Varying returns those of the names in Vary that answers to fetches can depend on.
func (o *omitter) Varying(names [][]byte) (kept [][]byte) {
	for _, name := range names {
		if !o.omits(name) {
			kept = append(kept, name)
		}
	}
	return kept
}
