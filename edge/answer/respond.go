package answer

import (
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
	"github.com/penstock-edge/penstock/edge/lib/template"
)

// response is an answer that stands in the file.
type response struct {
	status      int
	contentType string // empty: none
	fixed       []byte // the body, unless it is a template
	body        template.Template
	headers     []field
}

type field struct {
	name  string
	value template.Template
}

// Run implements edge.Filter.
func (a *response) Run(x *edge.Exchange) edge.Verdict {
	if a.body.IsFixed() {
		x.Answer(a.status, a.contentType, a.fixed)
	} else {
		x.AnswerTemplate(a.status, a.contentType, &a.body)
	}
	if len(a.headers) == 0 {
		return edge.Answered
	}
	room := locations.Get().(*[]byte)
	for i := range a.headers {
		*room, _ = a.headers[i].value.Append((*room)[:0], x) // only a host can be refused
		x.Resp.SetBytes(a.headers[i].name, *room)
	}
	locations.Put(room)
	return edge.Answered
}

// String is what `penstock routes` shows.
func (a *response) String() string {
	if !a.body.IsFixed() {
		return strconv.Itoa(a.status) + ", a template"
	}
	return strconv.Itoa(a.status) + ", " + strconv.Itoa(len(a.fixed)) + " bytes"
}

// compile records what is wrong on the table of k.
func (k *respondKeys) compile(vars edge.Vars) *response {
	a := &response{status: k.Status}
	if k.Status == 204 || k.Status == 205 || k.Status == 304 {
		if k.Body != "" { // RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5
			k.Table.Errorf("body", "an answer with status %d has no body", k.Status)
		}
	} else if k.Body != "" {
		a.contentType = "text/plain; charset=utf-8"
	}
	k.fields(a, vars)
	var message string
	if a.body, message = template.Parse(k.Body, placeOf(a.contentType), vars); message != "" {
		k.Table.Errorf("body", "%s; write {{ for a brace", message)
	}
	a.fixed = []byte(a.body.Skeleton())
	return a
}

func (k *respondKeys) fields(a *response, vars edge.Vars) {
	headers := k.Table.Child("headers")
	if headers == nil {
		return
	}
	seen := map[string]bool{}
	for _, name := range headers.Keys() { // in the order of the file
		value, message := template.Parse(k.Headers[name], template.Field, vars)
		if message != "" {
			headers.Errorf(name, "%s; write {{ for a brace", message)
			continue
		}
		key, why := header.Given(name, value.Skeleton())
		switch {
		case why != "":
			headers.Errorf(name, "%s", why)
		case seen[key]:
			headers.Errorf(name, "is given twice: case makes no difference in the name of a header")
		case key == "Content-Type" && !value.IsFixed():
			headers.Errorf(name, "must be fixed: it decides how values are written in the body")
		case key == "Content-Type":
			a.contentType = value.Skeleton()
		default:
			a.headers = append(a.headers, field{name, value})
		}
		seen[key] = true
	}
}

// placeOf returns how values are written in a body of the type.
func placeOf(contentType string) template.Place {
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	switch kind = strings.TrimSpace(kind); {
	case strings.HasSuffix(kind, "json"):
		return template.JSON
	case strings.HasSuffix(kind, "html"), strings.HasSuffix(kind, "xml"):
		return template.HTML
	}
	return template.Text
}
