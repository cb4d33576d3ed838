package forwarded

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge/lib/header"
)

// field is what the name of a field means here.
type field uint8

const (
	fieldFor field = iota
	fieldProto
	fieldHost
	fieldVia
	managed              // how many fields this feature writes itself
	fieldClaim = managed // another field by which a proxy could vouch for something
	fieldNone  = managed + 1
)

func fieldOf(name []byte) field {
	switch string(name) {
	case forName:
		return fieldFor
	case protoName:
		return fieldProto
	case hostName:
		return fieldHost
	case viaName:
		return fieldVia
	case "Forwarded", "X-Real-Ip":
		return fieldClaim
	}
	if bytes.HasPrefix(name, forwardedPrefix) {
		return fieldClaim
	}
	return fieldNone
}

// forwardedPrefix stands before -Port, -Prefix, -Server, -Ssl, …: frameworks believe them all.
var forwardedPrefix = []byte("X-Forwarded-")

// sheet is one look at the head of a request. It works on the head as text, because fasthttp's own way to
// list fields rewrites Cookie.
type sheet struct {
	head    header.Text // as it would be sent
	hops    []byte      // X-Forwarded-For as a trusted proxy sent it, lines joined
	via     []byte      // Via likewise
	host    []byte      // last line of X-Forwarded-Host, likewise; a part of head
	seen    [managed]int
	crowded bool // there are lines that must go
}

var sheets = sync.Pool{New: func() any { return new(sheet) }}

func acquireSheet() *sheet {
	s := sheets.Get().(*sheet)
	s.hops, s.via, s.host = s.hops[:0], s.via[:0], nil
	s.seen, s.crowded = [managed]int{}, false
	return s
}

// release gives the sheet back; not to be used after.
func (s *sheet) release() {
	if !s.head.IsLarge() {
		sheets.Put(s)
	}
}

// survey takes in what the head says.
func (s *sheet) survey(h *fasthttp.RequestHeader, trusted bool) {
	s.head.Bytes = h.AppendBytes(s.head.Bytes[:0])
	for fields := s.head.Fields(); ; {
		var name, value []byte
		name, value, fields = header.NextField(fields)
		if len(name) == 0 {
			return
		}
		switch name[0] {
		case 'F', 'V', 'X':
			s.take(fieldOf(name), value, trusted)
		}
	}
}

func (s *sheet) take(f field, value []byte, trusted bool) {
	if f >= managed {
		s.crowded = s.crowded || f == fieldClaim && !trusted
		return
	}
	s.seen[f]++
	s.crowded = s.crowded || s.seen[f] > 1
	if !trusted || len(value) == 0 {
		return
	}
	switch f {
	case fieldFor:
		s.hops = append(appendComma(s.hops), value...)
	case fieldVia:
		s.via = append(appendComma(s.via), value...)
	case fieldHost:
		s.host = value
	}
}

// thin takes all lines of managed fields out of h, and those of other claims unless they are trusted. The
// order of what stays does not change.
func (s *sheet) thin(h *fasthttp.RequestHeader, trusted bool) error {
	drop := untrusted
	if trusted {
		drop = isManaged
	}
	if err := s.head.ReadWithout(h, drop); err != nil {
		return fmt.Errorf("cannot read the request's head again: %w", err)
	}
	return nil
}

func isManaged(name []byte) bool { return fieldOf(name) < managed }

// untrusted tells whether a field has to go that somebody sent who is not trusted.
func untrusted(name []byte) bool { return fieldOf(name) <= fieldClaim }
