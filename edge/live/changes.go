package live

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strconv"

	"github.com/penstock-edge/penstock/edge/config"
)

// parts are the named parts of a file: each route, pool, listener, and each section, and the files that it
// names. What they say is kept as a hash: it decides only which lines a reload prints.
type parts struct {
	file   *config.File
	order  []string // in the order of the file
	sums   map[string]uint64
	routes []string // names of routes alone
}

// digest takes the parts of a file that is good and finished; those of one seed can be compared.
func digest(c *config.Config, seed maphash.Seed) parts {
	h := &hasher{}
	h.SetSeed(seed)
	p := parts{file: c.File, sums: make(map[string]uint64, len(c.Listeners)+len(c.Routes))}
	for _, l := range c.Listeners {
		p.add("listener "+l.Name, h.sumTable(l.Table))
	}
	for _, r := range c.Routes {
		p.add("route "+r.Name, h.sumTable(r.Table))
		p.routes = append(p.routes, r.Name)
	}
	root := c.File.Root
	for _, key := range root.Keys() {
		if key != "listener" && key != "route" {
			p.section(h, root, key)
		}
	}
	p.files(h, root)
	p.file = nil // the file's text need not be kept
	return p
}

// section adds [key], or each [key.NAME] of a section that consists of named tables.
func (p *parts) section(h *hasher, root *config.Table, key string) {
	v, _ := root.Value(key)
	t := v.Table()
	if t == nil || isOwn(key) || !allTables(t) {
		p.add("["+key+"]", h.sum(v))
		return
	}
	for _, name := range t.Keys() {
		sub, _ := t.Value(name)
		p.add(key+" "+name, h.sum(sub))
	}
}

// isOwn reports whether a section is the gateway's own: each is one part, whatever is in it.
func isOwn(key string) bool { return key == "server" || key == "admin" || key == "log" }

func allTables(t *config.Table) bool {
	for _, key := range t.Keys() {
		if v, _ := t.Value(key); v.Table() == nil {
			return false
		}
	}
	return true
}

// add adds a part. A name that holds what a variable stands for is shown as it is written.
func (p *parts) add(name string, sum uint64) {
	if name = p.file.Hide(name); p.has(name) {
		return
	}
	p.order = append(p.order, name)
	p.sums[name] = sum
}

func (p *parts) has(name string) bool {
	_, ok := p.sums[name]
	return ok
}

// since returns what differs from old, a line each, the same order for the same change.
func (p parts) since(old parts) []string {
	if old.sums == nil {
		return p.first()
	}
	var lines []string
	for _, name := range p.order {
		was, ok := old.sums[name]
		switch {
		case !ok:
			lines = append(lines, name+" added")
		case was != p.sums[name]:
			lines = append(lines, name+" changed")
		}
	}
	for _, name := range old.order {
		if _, ok := p.sums[name]; !ok {
			lines = append(lines, name+" removed")
		}
	}
	if !sameOrder(old, p) {
		lines = append(lines, "routes reordered")
	}
	if more := len(lines) - maxLines; more > 0 {
		lines = append(lines[:maxLines], fmt.Sprintf("and %d more", more))
	}
	return lines
}

const maxLines = 200 // what a person reads at most

// first describes how much the first file brought.
func (p parts) first() []string {
	return []string{fmt.Sprintf("first generation: %d routes, %d parts in all", len(p.routes), len(p.order))}
}

// sameOrder reports whether the routes both files have stand in one order: it decides between equals.
func sameOrder(old, now parts) bool {
	return slices.Equal(old.common(now), now.common(old))
}

func (p parts) common(other parts) []string {
	var names []string
	for _, name := range p.routes {
		if _, ok := other.sums["route "+name]; ok {
			names = append(names, name)
		}
	}
	return names
}

// hasher writes values in a form that is equal for equal values only. It claims every key it meets, so the
// file must be finished.
type hasher struct{ maphash.Hash }

func (h *hasher) sum(v config.Value) uint64 {
	h.Reset()
	h.value(v)
	return h.Sum64()
}

func (h *hasher) sumTable(t *config.Table) uint64 {
	h.Reset()
	h.table(t)
	return h.Sum64()
}

func (h *hasher) table(t *config.Table) {
	keys := t.Keys()
	slices.Sort(keys)
	h.number('{', uint64(len(keys)))
	for _, key := range keys {
		v, _ := t.Value(key)
		h.text(key)
		h.value(v)
	}
}

func (h *hasher) value(v config.Value) {
	if s, ok := v.String(); ok {
		h.text(s)
	} else if t := v.Table(); t != nil {
		h.table(t)
	} else if list := v.List(); list != nil {
		h.number('[', uint64(len(list)))
		for _, e := range list {
			h.value(e)
		}
	} else if i, ok := v.Int(); ok {
		h.number('i', uint64(i))
	} else if b, ok := v.Bool(); ok {
		h.text(strconv.FormatBool(b))
	} else if f, ok := v.Float(); ok {
		h.number('f', math.Float64bits(f))
	} else {
		h.text(v.Describe())
	}
}

func (h *hasher) text(s string) {
	h.number('s', uint64(len(s)))
	_, _ = h.WriteString(s) // a hash takes everything
}

func (h *hasher) number(kind byte, n uint64) {
	var b [9]byte
	b[0] = kind
	binary.LittleEndian.PutUint64(b[1:], n)
	_, _ = h.Write(b[:]) // as above
}
