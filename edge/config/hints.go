package config

import (
	"regexp"
	"strings"
)

var (
	bareValue = regexp.MustCompile(`^\s*(?:[^=#"']*[{,]\s*)?([A-Za-z0-9_-]+)\s*=\s*` +
		`([A-Za-z0-9_/:.*-][^\s"'\[{,#}\]]*)`)
	secretKey   = regexp.MustCompile(`(?i)pass|secret|token|seed|key|credential`)
	definedOnce = regexp.MustCompile(`^Key '(.*)' has already been defined$`)
)

// explain adds to the message of a syntax error what was probably meant.
func explain(body string, at int, msg string) string {
	switch {
	case definedOnce.MatchString(msg):
		return explainTwice(body, at, definedOnce.FindStringSubmatch(msg)[1])
	case strings.HasPrefix(msg, "expected value but found"):
		line := body[strings.LastIndexByte(body[:at], '\n')+1:]
		line, _, _ = strings.Cut(line, "\n")
		if m := bareValue.FindStringSubmatch(line); m != nil {
			if secretKey.MatchString(m[1]) {
				m[2] = "…"
			}
			return msg + ": a string stands in quotes, " + m[1] + ` = "` + m[2] + `"`
		}
	}
	return msg
}

// explainTwice names the first place of a key that stands a second time at the offset.
func explainTwice(body string, at int, key string) string {
	msg := key + " is already defined"
	f := &File{lines: lineStarts(body)}
	here, _ := f.place(at)
	_, clashes := scan(body)
	for _, c := range clashes {
		if line, _ := f.place(c.at); line == here {
			first, _ := f.place(c.first.keyAt)
			return msg + " " + atLine(first)
		}
	}
	return msg
}

// checkStars reports a * that does not stand for the rest of the path, as it does in other gateways.
func (r *Route) checkStars() {
	for _, one := range []struct{ key, path string }{{"path", r.Path}, {"prefix", r.Prefix}} {
		before, ok := strings.CutSuffix(strings.TrimSuffix(one.path, "*"), "*")
		if !ok {
			before, ok = strings.CutSuffix(one.path, "*")
		}
		if !ok {
			continue
		}
		right := `prefix = "` + before + `"`
		if one.key == "path" && strings.HasSuffix(before, "/") {
			right += ` or path = "` + before + `{rest:*}"`
		}
		r.Table.Errorf(one.key, "* is no pattern at the end of a %s: write %s", one.key, right)
	}
}

// checkHosts reports hosts that are URLs, and takes them out.
func (r *Route) checkHosts() {
	hosts := r.Hosts[:0:0]
	for _, host := range r.Hosts {
		scheme, rest, isURL := strings.Cut(host, "://")
		if !isURL {
			hosts = append(hosts, host)
			continue
		}
		name, _, _ := strings.Cut(rest, "/")
		r.Table.Mistake("hosts", host, name,
			"a host is a name without a scheme, such as "+scheme+"://, is "+shorten(host))
	}
	r.Hosts = hosts
}

// withoutUser returns an address without the user and the password before it, which no message may show.
func withoutUser(address string) string { return address[strings.LastIndexByte(address, '@')+1:] }

// urlTarget returns how to write a target that was written as a URL; "": it was not.
func urlTarget(address string) string {
	scheme, rest, isURL := strings.Cut(address, "://")
	if !isURL {
		return ""
	}
	host, _, _ := strings.Cut(rest, "/")
	host = withoutUser(host)
	port, tls := ":80", ""
	if scheme == "https" {
		port, tls = ":443", " and, in [pool.NAME.tls], enabled = true"
	}
	if strings.Contains(host, ":") {
		port = ""
	}
	return `is host:port and no URL: write "` + host + port + `"` + tls
}
