package headers

import (
	"bytes"
	"fmt"
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
				x.EditFields(p.response)
			}
		}
	}
	return edge.Next
}

// requests changes what the target sees.
type requests filter

// sheet is room for the head of a request as text.
type sheet struct {
	head        header.Text
	lines, room []byte
}

var sheets = sync.Pool{New: func() any { return new(sheet) }}

// Run implements edge.Filter. Values are those that the request has before the first policy.
func (f *requests) Run(x *edge.Exchange) edge.Verdict {
	s := sheets.Get().(*sheet)
	s.head.Bytes = x.Req.AppendBytes(s.head.Bytes[:0])
	fields := s.head.Fields()
	s.lines = append(s.lines[:0], fields[:len(fields)-len("\r\n")]...)
	for _, list := range [...][]*policy{f.own, (*filter)(f).of(x)} {
		for _, p := range list {
			if p.request != nil {
				s.room = p.request.EditLines(x, s.room[:0], s.lines)
				s.lines, s.room = s.room, s.lines
			}
		}
	}
	err := s.head.ReadFields(&x.Req, s.lines)
	if !s.head.IsLarge() {
		sheets.Put(s)
	}
	if err != nil {
		x.Fault, x.Cause = edge.Internal, fmt.Errorf("cannot read the request's head again: %w", err)
		return edge.Answered
	}
	return edge.Next
}

// EditLines implements edge.Editor.
func (c *changes) EditLines(x *edge.Exchange, dst, lines []byte) []byte {
	active := c.active(lines)
	for len(lines) > 0 {
		var name, value, line []byte
		name, value, line, lines = edge.NextField(lines)
		switch to, is := c.renamed(name, active); {
		case c.drops(name):
		case is && to != nil:
			dst = appendField(dst, to, value)
		case !is:
			dst = append(dst, line...)
		}
	}
	for i := range c.fields {
		f := &c.fields[i]
		if f.tls && x.Scheme != "https" {
			continue
		}
		from := len(dst)
		dst = append(append(dst, f.name...), ": "...)
		at := len(dst)
		dst, _ = f.value.Append(dst, x) // only a host can be refused
		if len(bytes.TrimSpace(dst[at:])) == 0 {
			dst = dst[:from] // the request has no such value
			continue
		}
		dst = append(dst, "\r\n"...)
	}
	return dst
}

func appendField(dst, name, value []byte) []byte {
	return append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
}

// active returns the renamings whose field is there, as bits.
func (c *changes) active(lines []byte) (bits uint64) {
	if len(c.rename) == 0 {
		return 0
	}
	for len(lines) > 0 {
		var name []byte
		name, _, _, lines = edge.NextField(lines)
		for i := range c.rename {
			if bytes.EqualFold(c.rename[i].from, name) && !c.drops(name) {
				bits |= 1 << i
			}
		}
	}
	return bits
}

// renamed reports whether the active renamings change a line: to is its new name, nil when it makes room for
// another.
func (c *changes) renamed(name []byte, active uint64) (to []byte, is bool) {
	for i := range c.rename {
		if r := &c.rename[i]; active&(1<<i) != 0 && bytes.EqualFold(r.from, name) {
			return r.to, true
		}
	}
	for i := range c.rename {
		if r := &c.rename[i]; active&(1<<i) != 0 && bytes.EqualFold(r.to, name) {
			return nil, true
		}
	}
	return nil, false
}
