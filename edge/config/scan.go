package config

import "github.com/penstock-edge/penstock/edge/config/lex"

// scanner finds the places of keys and values in text that the TOML parser has accepted: the parser itself
// tells positions in errors only. On other text the tree is of no use, but scanning still ends.
type scanner struct {
	text    string
	pos     int
	root    *node
	here    *node // the table that the last header has opened
	clashes []clash
	parts   []part // of the key at hand
	spare   []node // made many at a time
}

// clash is a key that is defined a second time. The parser refuses most of them and drops the others.
type clash struct {
	at    int
	first *node
}

// origin is how a table or value came into the file: it decides what may be added to it.
type origin uint8

const (
	byValue  origin = iota // key = …: complete, also if it is a table
	byDot                  // a in a.b = …: open to further dotted keys
	byPath                 // a in [a.b]: [a] may still come
	byHeader               // [a]
	byArray                // [[a]]: further [[a]] may come
)

// part is one part of a dotted key.
type part struct {
	name string
	at   int
}

// scan returns the tree of all keys of text, without values, and the keys that are defined twice.
func scan(text string) (*node, []clash) {
	root := &node{kind: tableKind}
	s := &scanner{text: text, root: root, here: root}
	for s.skipBlank(); s.pos < len(text); s.skipBlank() {
		start := s.pos
		if text[s.pos] == '[' {
			s.header()
		} else {
			s.pair(s.here)
		}
		s.progress(start)
	}
	return root, s.clashes
}

// node returns a new node with its place.
func (s *scanner) node(key string, at int, k kind, from origin) *node {
	if len(s.spare) == 0 {
		s.spare = make([]node, 64)
	}
	n := &s.spare[0]
	s.spare = s.spare[1:]
	n.key, n.keyAt, n.at, n.kind, n.from = key, at, at, k, from
	return n
}

// progress steps over a byte that cannot stand where it is, so that scanning ends on any text.
func (s *scanner) progress(start int) {
	if s.pos == start {
		s.pos++
	}
}

// peek returns the byte at hand, 0 at the end.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) skip(c byte) bool {
	if s.peek() != c || s.pos >= len(s.text) {
		return false
	}
	s.pos++
	return true
}

func (s *scanner) skipSpace() {
	for s.peek() == ' ' || s.peek() == '\t' {
		s.pos++
	}
}

// skipBlank skips space, ends of lines and comments.
func (s *scanner) skipBlank() {
	for {
		switch s.peek() {
		case ' ', '\t', '\r', '\n':
			s.pos++
		case '#':
			s.pos = lex.SkipComment(s.text, s.pos)
		default:
			return
		}
	}
}

// header reads [a.b] or [[a.b]] and makes the table it names the one that the next keys belong to.
func (s *scanner) header() {
	start := s.pos
	s.pos++
	array := s.skip('[')
	parts := s.key()
	s.skipSpace()
	s.skip(']')
	if array {
		s.skip(']')
	}
	if len(parts) == 0 {
		return
	}
	table, last := s.descend(s.root, parts, byPath)
	if array {
		s.here = s.openArray(table, last, start)
	} else {
		s.here = s.openTable(table, last, start)
	}
}

// openTable makes the table of [last], or takes the one that [last.something] has made before.
func (s *scanner) openTable(up *node, last part, start int) *node {
	table := up.get(last.name)
	switch {
	case table == nil:
		table = s.node(last.name, last.at, tableKind, byHeader)
		up.add(table)
	case table.from != byPath:
		s.clashes = append(s.clashes, clash{last.at, table})
		return &node{up: up, key: last.name, kind: tableKind}
	}
	table.keyAt, table.at, table.from = last.at, start, byHeader
	return table
}

// openArray appends a table to the array of tables under a key.
func (s *scanner) openArray(up *node, last part, start int) *node {
	list := up.get(last.name)
	switch {
	case list == nil:
		list = s.node(last.name, last.at, listKind, byArray)
		list.at = start
		up.add(list)
	case list.from != byArray:
		s.clashes = append(s.clashes, clash{last.at, list})
		return &node{up: up, key: last.name, kind: tableKind}
	}
	table := s.node(last.name, last.at, tableKind, byHeader)
	table.at = start
	if n := len(list.kids); n > 0 { // it will have about as many keys as the one before
		table.kids = make([]*node, 0, len(list.kids[n-1].kids))
	}
	list.push(table)
	return table
}

// pair reads key = value into table.
func (s *scanner) pair(table *node) {
	parts := s.key()
	s.skipSpace()
	s.skip('=')
	s.skipSpace()
	if len(parts) == 0 {
		return
	}
	table, last := s.descend(table, parts, byDot)
	value := s.node(last.name, last.at, scalarKind, byValue)
	if first := table.get(last.name); first != nil {
		s.clashes = append(s.clashes, clash{last.at, first})
	} else {
		table.add(value)
	}
	s.value(value)
}

// descend walks from table down to the one that the last part of a dotted key belongs to. Tables on the way
// are made when they are not there.
func (s *scanner) descend(table *node, parts []part, from origin) (*node, part) {
	n := len(parts) - 1
	for _, p := range parts[:n] {
		kid := table.get(p.name)
		switch {
		case kid == nil:
			kid = s.node(p.name, p.at, tableKind, from)
			table.add(kid)
		case kid.from == byValue, from == byDot && kid.from != byDot:
			s.clashes = append(s.clashes, clash{p.at, kid})
			kid = &node{up: table, key: p.name, kind: tableKind}
		case kid.from == byArray:
			kid = kid.kids[len(kid.kids)-1]
		}
		table = kid
	}
	return table, parts[n]
}

// key reads a dotted key with all its parts, which hold until the next key is read.
func (s *scanner) key() []part {
	parts := s.parts[:0]
	defer func() { s.parts = parts }()
	for {
		s.skipSpace()
		start := s.pos
		switch s.peek() {
		case '"', '\'':
			s.pos = lex.SkipLineString(s.text, s.pos)
			parts = append(parts, part{lex.Unquote(s.text[start:s.pos]), start})
		default:
			for lex.IsBareKeyByte(s.peek()) {
				s.pos++
			}
			if s.pos == start {
				return parts
			}
			parts = append(parts, part{s.text[start:s.pos], start})
		}
		s.skipSpace()
		if !s.skip('.') {
			return parts
		}
	}
}

// value reads the value at hand into n: its place, and for lists and inline tables what is in them.
func (s *scanner) value(n *node) {
	n.at = s.pos
	switch s.peek() {
	case '"', '\'':
		s.pos = lex.SkipString(s.text, s.pos)
	case '[':
		n.kind = listKind
		s.pos++
		s.items(']', func() {
			elem := s.node("", s.pos, scalarKind, byValue)
			n.push(elem)
			s.value(elem)
		})
	case '{':
		n.kind = tableKind
		s.pos++
		s.items('}', func() { s.pair(n) })
	default:
		s.plain()
	}
}

// items reads what stands between commas up to the closing bracket.
func (s *scanner) items(end byte, item func()) {
	for s.pos < len(s.text) {
		s.skipBlank()
		if s.skip(end) {
			return
		}
		if s.skip(',') {
			continue
		}
		start := s.pos
		item()
		s.progress(start)
	}
}

// plain skips a number, a boolean or a date. None of them has a byte of those that may follow it.
func (s *scanner) plain() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ',', ']', '}', '#', '\n':
			return
		}
		s.pos++
	}
}
