package answer

import (
	"strconv"

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

type field struct{ name, value string }

// Run implements edge.Filter.
func (a *fixed) Run(x *edge.Exchange) edge.Verdict {
	x.Answer(a.status, a.contentType, a.body)
	for i := range a.headers {
		x.Resp.Set(a.headers[i].name, a.headers[i].value)
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
		value := k.Headers[name]
		key, why := header.Given(name, value)
		switch {
		case why != "":
			headers.Errorf(name, "%s", why)
		case seen[key]:
			headers.Errorf(name, "is given twice: case makes no difference in the name of a header")
		case key == "Content-Type":
			a.contentType = value
		default:
			a.headers = append(a.headers, field{name, value})
		}
		seen[key] = true
	}
	return a
}
