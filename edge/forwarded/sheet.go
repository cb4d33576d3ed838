package forwarded

import (
	"bufio"
	"bytes"
	"fmt"
	"sync"

	"github.com/valyala/fasthttp"
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

var (
	forwardedPrefix = []byte("X-Forwarded-") // -Port, -Prefix, -Server, -Ssl, …: frameworks believe them all
	crlf            = []byte("\r\n")
)

// sheet is one look at the head of a request. It works on the head as text, because fasthttp's own ways to
// list and to remove fields rewrite Cookie and change the order of repeated fields, which has a meaning
// (RFC 9110 section 5.3). Names are canonical there.
type sheet struct {
	head    []byte // as it would be sent
	hops    []byte // X-Forwarded-For as a trusted proxy sent it, lines joined
	via     []byte // Via likewise
	host    []byte // last line of X-Forwarded-Host, likewise; a part of head
	seen    [managed]int
	crowded bool // there are lines that must go

	thinned []byte
	src     bytes.Reader
	rd      *bufio.Reader
}

var sheets = sync.Pool{New: func() any { return &sheet{rd: bufio.NewReaderSize(nil, smallHead)} }}

const (
	smallHead = 4 << 10
	// largeHead is the room beyond which a sheet is not kept.
	largeHead = 64 << 10
)

func acquireSheet() *sheet {
	s := sheets.Get().(*sheet)
	s.hops, s.via, s.host = s.hops[:0], s.via[:0], nil
	s.seen, s.crowded = [managed]int{}, false
	return s
}

// release gives the sheet back; not to be used after.
func (s *sheet) release() {
	if cap(s.head) <= largeHead && s.rd.Size() <= largeHead {
		sheets.Put(s)
	}
}

// survey takes in what the head says.
func (s *sheet) survey(h *fasthttp.RequestHeader, trusted bool) {
	s.head = h.AppendBytes(s.head[:0])
	_, lines, _ := bytes.Cut(s.head, crlf)
	for {
		var line []byte
		line, lines, _ = bytes.Cut(lines, crlf)
		if len(line) == 0 {
			return
		}
		switch line[0] {
		case 'F', 'V', 'X':
			name, value, _ := bytes.Cut(line, colonSpace)
			s.take(fieldOf(name), value, trusted)
		}
	}
}

var colonSpace = []byte(": ")

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
	first, lines, _ := bytes.Cut(s.head, crlf)
	s.thinned = append(append(s.thinned[:0], first...), crlf...)
	for {
		var line []byte
		line, lines, _ = bytes.Cut(lines, crlf)
		if len(line) > 0 {
			name, _, _ := bytes.Cut(line, colonSpace)
			if f := fieldOf(name); f < managed || f == fieldClaim && !trusted {
				continue
			}
		}
		s.thinned = append(append(s.thinned, line...), crlf...)
		if len(line) == 0 {
			break
		}
	}
	if s.rd.Size() < len(s.thinned) {
		s.rd = bufio.NewReaderSize(nil, len(s.thinned))
	}
	s.src.Reset(s.thinned)
	s.rd.Reset(&s.src)
	if err := h.Read(s.rd); err != nil {
		return fmt.Errorf("cannot read the request's head again: %w", err)
	}
	return nil
}
