package ratelimit

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
)

// exemption is a key, or several, that are not limited: what each part has to be.
type exemption []trait

// trait is what a part of a key has to be. The zero value is anything.
type trait struct {
	text    []byte       // nil: not looked at
	network netip.Prefix // of the address; not valid: not looked at
}

// readExempt reads `exempt`: values of the key, and lists of them for a key of several parts.
func (c *Config) readExempt(t *config.Table) {
	v, ok := t.Value("exempt")
	if !ok || len(c.parts) == 0 {
		return
	}
	list := v.List()
	if list == nil {
		v.Errorf("must be a list of keys that are not limited")
		return
	}
	for _, item := range list {
		values := []config.Value{item}
		if l := item.List(); l != nil {
			values = l
		}
		if len(values) != len(c.parts) {
			item.Errorf("must have a value for each part of the key, that is %s; %d are given", c.keyNames(),
				len(values))
			continue
		}
		if e := c.readExemption(item, values); e != nil {
			c.exempt = append(c.exempt, e)
		}
	}
}

// readExemption reads the values of one key; nil: there is a mistake.
func (c *Config) readExemption(item config.Value, values []config.Value) exemption {
	e, some := make(exemption, len(values)), false
	for i, v := range values {
		var s config.Secret // what fields and cookies carry may be one
		if !v.Decode(&s) {
			return nil
		}
		text := s.Reveal()
		if text == "*" && len(values) > 1 {
			continue
		}
		some = true
		var why string
		if e[i], why = c.parts[i].trait(text); why != "" {
			v.Errorf("%s", why)
			return nil
		}
	}
	if !some {
		item.Errorf("would exempt everybody: leave the limit out of the routes")
		return nil
	}
	return e
}

// trait returns what text asks of a part, and why it cannot be that.
func (p *part) trait(text string) (t trait, why string) {
	switch {
	case p.kind == byIP:
		n, err := netip.ParsePrefix(text)
		if a, bad := netip.ParseAddr(text); bad == nil {
			n, err = a.Unmap().Prefix(a.Unmap().BitLen())
		}
		if err != nil {
			return t, "must be an address or a network, such as \"192.0.2.7\" or \"10.0.0.0/8\", is \"" + text + "\""
		}
		return trait{network: n.Masked()}, ""
	case p.kind == byGlobal:
		return t, "the part \"global\" of a key is the same of all requests: only \"*\" can stand for it"
	case text == "":
		return t, "must not be empty: who does not have the field is not exempted; see missing"
	case text == "*":
		return t, "would exempt everybody: leave the limit out of the routes"
	case p.kind == byHost:
		text = strings.ToLower(text)
	}
	return trait{text: []byte(text)}, ""
}

// exempts reports whether the key of x, made of b, is not limited.
func (c *Config) exempts(x *edge.Exchange, b []byte) bool {
	for _, e := range c.exempt {
		if e.holds(x, b) {
			return true
		}
	}
	return false
}

func (e exemption) holds(x *edge.Exchange, b []byte) bool {
	for i := range e {
		var value []byte
		value, b = nextPart(b)
		switch t := &e[i]; {
		case t.text != nil && !bytes.Equal(t.text, value):
			return false
		case t.network.IsValid() && !t.network.Contains(x.Client.Unmap().WithZone("")):
			return false
		}
	}
	return true
}

// keyNames names the parts of the key for people.
func (c *Config) keyNames() string {
	names := make([]string, len(c.parts))
	for i := range c.parts {
		names[i] = c.parts[i].String()
	}
	return strings.Join(names, ", ")
}
