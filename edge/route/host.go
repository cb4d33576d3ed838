package route

import (
	"bytes"
	"net/netip"
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

// ruleHost checks one host of a rule and returns it in the form the table is keyed by: a name or
// an address as it is, ".example.org" for "*.example.org". The message is empty if all is well.
func ruleHost(host string) (key, message string) {
	name := strings.ToLower(host)
	if strings.HasPrefix(name, "[") {
		return bracketed(name)
	}
	name, wild := strings.CutPrefix(name, "*.")
	switch {
	case name == "*":
		return "", `leave hosts out to match any host, instead of "*"`
	case strings.Contains(name, "*"):
		return "", quote(host) + ` may have a "*" only as its whole first label`
	case strings.Contains(name, ":"):
		return "", quote(host) + " must not have a port"
	}
	name = strings.TrimSuffix(name, ".")
	if len(name) > 253 || !hostName(name) {
		return "", quote(host) + " is not a host name"
	}
	if wild {
		return "." + name, ""
	}
	return name, ""
}

func bracketed(name string) (key, message string) {
	inner, ok := strings.CutSuffix(name[1:], "]")
	if _, err := netip.ParseAddr(inner); !ok || err != nil || !strings.Contains(inner, ":") {
		return "", quote(name) + " is not an IPv6 address in brackets, without a port"
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
