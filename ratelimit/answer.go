package ratelimit

import (
	"strconv"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// Answer is answer of [rate_limit.NAME]: what a refused client gets in place of a problem of the gateway's.
type Answer struct {
	Status  int               `toml:"status" default:"429" min:"400" max:"599"` // of the answer
	Body    string            `toml:"body"`                                     // of the answer
	Headers map[string]string `toml:"headers" unset:"{}"`                       // fields of the answer

	Table *config.Table `toml:"-"`

	contentType string // empty: none
	body        []byte
	fields      []field
}

type field struct{ name, value string }

// compile records what is wrong on the table of a.
func (a *Answer) compile() {
	if a.body = []byte(a.Body); len(a.body) > 0 {
		a.contentType = "text/plain; charset=utf-8"
	}
	headers := a.Table.Child("headers")
	if headers == nil {
		return
	}
	seen := map[string]bool{}
	for _, name := range headers.Keys() { // in the order of the file
		value := a.Headers[name]
		key, why := header.Given(name, value)
		switch key {
		case "Retry-After", "Ratelimit", "Ratelimit-Policy":
			why = "is made by the gateway"
		}
		switch {
		case why != "":
			headers.Errorf(name, "%s", why)
		case seen[key]:
			headers.Errorf(name, "is given twice: case makes no difference in the name of a header")
		case key == "Content-Type":
			a.contentType = value
		default:
			a.fields = append(a.fields, field{name, value})
		}
		seen[key] = true
	}
}

// own answers what a limit has refused, where it has an answer of its own.
type own struct{ slot int }

// Run implements edge.Filter.
func (o own) Run(x *edge.Exchange) edge.Verdict {
	r, ok := x.Slot[o.slot].(*record)
	if !ok || r.refused == nil || r.refused.limit.conf.Answer == nil || x.Fault.Code != codeLimited {
		return edge.Next
	}
	a := r.refused.limit.conf.Answer
	x.Answer(a.Status, a.contentType, a.body)
	for i := range a.fields {
		x.Resp.Set(a.fields[i].name, a.fields[i].value)
	}
	if n := x.Fault.RetryAfter; n > 0 {
		var room [20]byte
		x.Resp.SetBytes("Retry-After", strconv.AppendInt(room[:0], int64(n), 10))
	}
	return edge.Answered
}

// limited is the fault of a request that a limit refuses.
func (l *limit) limited(x *edge.Exchange, detail string) *edge.Fault {
	status := 429
	if a := l.conf.Answer; a != nil {
		status = a.Status
	}
	return x.Refuse(status, edge.SideClient, codeLimited, detail)
}

const codeLimited = "rate_limited"
