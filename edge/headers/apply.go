package headers

import (
	"bytes"
	"sync"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// filter has the policies of a route.
type filter struct {
	own  []*policy
	arms [][]*policy // of the entries of its split
}

// of returns the policies of the entry of split that takes x.
func (f *filter) of(x *edge.Exchange) []*policy {
	if x.Arm < 1 || x.Arm > len(f.arms) {
		return nil
	}
	return f.arms[x.Arm-1]
}

// answers changes every answer of the route, whoever has made it.
type answers filter

// Run implements edge.Filter.
func (f *answers) Run(x *edge.Exchange) edge.Verdict {
	for _, list := range [...][]*policy{f.own, (*filter)(f).of(x)} {
		for _, p := range list {
			if p.response != nil {
				p.response.apply(x, &x.Resp.Fields)
			}
		}
	}
	return edge.Next
}

// requests changes what the target sees.
type requests filter

// Run implements edge.Filter.
func (f *requests) Run(x *edge.Exchange) edge.Verdict {
	for _, list := range [...][]*policy{f.own, (*filter)(f).of(x)} {
		for _, p := range list {
			if p.request != nil {
				p.request.apply(x, &x.Req)
			}
		}
	}
	return edge.Next
}

var rooms = sync.Pool{New: func() any { return new([]byte) }}

// apply changes the fields of the request or the answer of x.
func (c *changes) apply(x *edge.Exchange, fields *header.Fields) {
	if c.own != nil { // what targets of the CGI kind would take for one of them
		fields.DelFunc(func(name []byte) bool { return !header.IsPlain(name) && c.own.Cover(name) })
	}
	for _, name := range c.remove {
		fields.Del(name)
	}
	for _, prefix := range c.prefixes {
		fields.DelFunc(func(name []byte) bool { return header.HasPrefix(name, prefix) && !kept(name) })
	}
	for i := range c.rename {
		if r := &c.rename[i]; fields.Count(r.from) > 0 {
			if !header.SameName([]byte(r.from), r.to) {
				fields.Del(r.to)
			}
			fields.Rename(r.from, r.to)
		}
	}
	if len(c.fields) == 0 {
		return
	}
	room := rooms.Get().(*[]byte)
	for i := range c.fields {
		f := &c.fields[i]
		value, _ := f.value.Append((*room)[:0], x) // only a host can be refused
		*room = value
		switch value = bytes.TrimSpace(value); {
		case f.tls && x.Scheme != "https", len(value) == 0: // the request has no such value
			if f.set {
				fields.Del(f.name)
			}
		case f.set:
			fields.SetBytes(f.name, value)
		default:
			fields.AddBytes(f.name, value)
		}
	}
	rooms.Put(room)
}
