package route

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
)

// NormalHost appends host as Lookup compares it: ASCII letters lower-case, the port and one
// trailing dot cut off. The brackets of an IPv6 address stay. host has passed the grammar of the
// Host field already; anything else gives a name that only rules for any host match.
func NormalHost(dst, host []byte) []byte {
	for _, c := range cutPort(host) {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func cutPort(host []byte) []byte {
	if len(host) > 0 && host[0] == '[' {
		return host[:bytes.IndexByte(host, ']')+1]
	}
	if i := bytes.IndexByte(host, ':'); i >= 0 && i == bytes.LastIndexByte(host, ':') {
		host = host[:i]
	}
	return bytes.TrimSuffix(host, []byte("."))
}

// PortOf returns the port of a Host field, or that of the scheme when it has none.
func PortOf(authority []byte, scheme string) int {
	port := 0
	digits := authority[bytes.LastIndexByte(authority, ':')+1:]
	if len(digits) == len(authority) || len(digits) > 5 || bytes.IndexByte(digits, ']') >= 0 {
		digits = nil
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0
		}
		port = port*10 + int(c-'0')
	}
	switch {
	case len(digits) > 0:
		return port
	case scheme == "https":
		return 443
	}
	return 80
}

// host is one host of a rule: a name or an address as it is, ".example.org" for "*.example.org", "" for any.
type host struct {
	name string
	port int // 0: any
}

// String returns the host as a file has it.
func (h host) String() string {
	name := h.name
	if h.level() != hostExact {
		name = "*" + name
	}
	if h.port != 0 {
		name += ":" + strconv.Itoa(h.port)
	}
	return name
}

// How exact a host is.
const (
	hostExact = iota
	hostWild
	hostAny
)

func (h host) level() int {
	switch {
	case h.name == "":
		return hostAny
	case h.name[0] == '.':
		return hostWild
	}
	return hostExact
}

// takes reports whether h takes other, which may be the host of another rule.
func (h host) takes(other host) bool {
	if h.port != 0 && h.port != other.port {
		return false
	}
	switch h.level() {
	case hostExact:
		return h.name == other.name
	case hostWild:
		return len(other.name) > len(h.name) && strings.HasSuffix(other.name, h.name)
	}
	return true
}

// ruleHost checks one host of a rule. The message is empty if all is well.
func ruleHost(text string) (h host, message string) {
	name, port, message := cutRulePort(strings.ToLower(text))
	if message != "" {
		return h, quote(text) + message
	}
	if strings.HasPrefix(name, "[") {
		name, message = bracketed(name)
		return host{name, port}, message
	}
	name, wild := strings.CutPrefix(name, "*.")
	switch {
	case name == "*" && port != 0:
		return host{"", port}, ""
	case name == "*":
		return h, `leave hosts out to match any host, instead of "*"`
	case strings.Contains(name, "*"):
		return h, quote(text) + ` may have a "*" only as its whole first label`
	}
	name = strings.TrimSuffix(name, ".")
	if len(name) > 253 || !hostName(name) {
		return h, quote(text) + " is not a host name"
	}
	if wild {
		name = "." + name
	}
	return host{name, port}, ""
}

// cutRulePort cuts the port off; 0: there is none.
func cutRulePort(text string) (name string, port int, message string) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 || strings.HasSuffix(text, "]") {
		return text, 0, ""
	}
	port, err := strconv.Atoi(text[i+1:])
	if err != nil || port < 1 || port > 65535 || text[i+1] == '+' {
		return "", 0, " has no port from 1 to 65535 behind its colon"
	}
	return text[:i], port, ""
}

func bracketed(name string) (key, message string) {
	inner, ok := strings.CutSuffix(name[1:], "]")
	if _, err := netip.ParseAddr(inner); !ok || err != nil || !strings.Contains(inner, ":") {
		return "", quote(name) + " is not an IPv6 address in brackets"
	}
	return name, ""
}

// hostName reports whether name is made of labels of 1 to 63 letters, digits, hyphens and
// underscores. Names beyond ASCII have to be given in their xn-- form.
func hostName(name string) bool {
	for label := range strings.SplitSeq(name, ".") {
		if len(label) == 0 || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if !unreserved(c) || c == '~' {
				return false
			}
		}
	}
	return true
}

// Hosts are names, addresses and wildcards, as rules have them, without ports. The zero value has none.
type Hosts []host

// ParseHosts returns the hosts of a list. The message is empty if all is well.
func ParseHosts(texts []string) (list Hosts, message string) {
	for _, text := range texts {
		h, message := ruleHost(text)
		switch {
		case message != "":
			return nil, message
		case h.port != 0:
			return nil, quote(text) + " must not have a port"
		}
		list = append(list, h)
	}
	return list, ""
}

// Has reports whether one of the hosts takes name, which is in its normal form: see NormalHost.
func (l Hosts) Has(name []byte) bool {
	for i := range l {
		if l[i].takes(host{name: string(name)}) {
			return true
		}
	}
	return false
}
