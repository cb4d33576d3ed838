package answer

import (
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// fixed is an answer that is always the same.
type fixed struct {
	status      int
	contentType string // empty: none
	body        []byte
	headers     []field
}

type field struct{ key, value []byte } // key in canonical form

// Run implements edge.Filter.
func (a *fixed) Run(x *edge.Exchange) edge.Verdict {
	x.Answer(a.status, a.contentType, a.body)
	for i := range a.headers {
		x.Resp().SetCanonical(a.headers[i].key, a.headers[i].value)
	}
	return edge.Answered
}

// String is what `penstock routes` shows.
func (a *fixed) String() string {
	return strconv.Itoa(a.status) + ", " + strconv.Itoa(len(a.body)) + " bytes"
}

// compile records what is wrong on the table of k.
func (k *respondKeys) compile() *fixed {
	a := &fixed{status: k.Status, body: []byte(k.Body)}
	if k.Status == 204 || k.Status == 205 || k.Status == 304 {
		if k.Body != "" { // RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5
			k.Table.Errorf("body", "an answer with status %d has no body", k.Status)
		}
	} else if k.Body != "" {
		a.contentType = "text/plain; charset=utf-8"
	}
	headers := k.Table.Child("headers")
	if headers == nil {
		return a
	}
	seen := map[string]bool{}
	for _, name := range headers.Keys() { // in the order of the file
		key, value := fasthttp.AppendNormalizedHeaderKey(nil, name), k.Headers[name]
		switch why := wrongHeader(name, string(key), value); {
		case why != "":
			headers.Errorf(name, "%s", why)
		case seen[string(key)]:
			headers.Errorf(name, "is given twice: case makes no difference in the name of a header")
		case string(key) == "Content-Type":
			a.contentType = value
		default:
			a.headers = append(a.headers, field{key, []byte(value)})
		}
		seen[string(key)] = true
	}
	return a
}

// wrongHeader says why a header cannot be in a fixed answer; empty: it can.
func wrongHeader(name, key, value string) string {
	switch key {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info", "Close":
		return "belongs to one connection and cannot be given (RFC 9110 section 7.6.1)"
	case "Content-Length", "Date":
		return "is made by the gateway"
	}
	if !header.IsToken(name) {
		return "is not the name of a header"
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return "a header's value is one line without control characters"
		}
	}
	if strings.Trim(value, " \t") != value {
		return "a header's value begins and ends with something to see"
	}
	return ""
}
