package key

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/edge"
)

// AppendAuthority appends an authority in the one form that the cache knows it in: in lower case, without
// a dot at its end and without the port that the scheme has anyway.
func AppendAuthority(dst []byte, scheme string, authority []byte) []byte {
	name, port := authority, []byte(nil)
	if bytes.IndexByte(authority, ':') >= 0 {
		// The last one begins a port, unless it is within an address.
		if i := bytes.LastIndexByte(authority, ':'); i > bytes.LastIndexByte(authority, ']') {
			name, port = authority[:i], authority[i+1:]
		}
	}
	if n := len(name); n > 1 && name[n-1] == '.' {
		name = name[:n-1]
	}
	dst = accept.AppendLower(dst, name)
	if len(port) > 0 && string(port) != usualPort(scheme) {
		dst = append(append(dst, ':'), port...)
	}
	return dst
}

func usualPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// appendHosts appends X-Forwarded-Host as the cache knows it: proxies in a row make a list of it.
func appendHosts(dst []byte, scheme string, hosts []byte) []byte {
	if bytes.ContainsAny(hosts, ", ") {
		return accept.AppendLower(dst, hosts)
	}
	return AppendAuthority(dst, scheme, hosts)
}

var errNoURL = errors.New("must be a URL with scheme and host, as clients ask for it: " +
	"https://host/path?query")

// CanonicalURL returns a URL as the key of a request for it has it. The error says why no request can
// have it.
func (r *Rules) CanonicalURL(url string) ([]byte, error) {
	x, err := r.askedFor(url)
	if err != nil {
		return nil, err
	}
	return r.AppendURL(nil, x), nil
}

// askedFor returns a request for a URL.
func (r *Rules) askedFor(url string) (*edge.Exchange, error) {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") ||
		strings.IndexAny(rest, "/?#") == 0 || rest == "" {
		return nil, errNoURL
	}
	if strings.ContainsFunc(url, isSpace) {
		return nil, errors.New("has white space or control characters, which no URL has: write %2520 for its %20 " +
			"and %2B for its +")
	}
	x := new(edge.Exchange)
	x.Reset()
	refusal, err := x.Own("GET", url, nil, r.MergeSlashes)
	if err == nil && refusal != "" {
		_, detail, _ := strings.Cut(refusal, ": ")
		err = fmt.Errorf("must be a URL that a request can be for: %s", detail)
	}
	return x, err
}

// isSpace reports whether a character is white space or a control character, which no URL has.
func isSpace(c rune) bool { return c <= ' ' || c == 0x7f }

// CanonicalPrefix returns the beginning of URLs as keys have it.
func (r *Rules) CanonicalPrefix(prefix string) ([]byte, error) {
	path, query, inQuery := strings.Cut(prefix, "?")
	last := path[strings.LastIndexByte(path, '/')+1:]
	if decoded := strings.NewReplacer("%2e", ".", "%2E", ".").Replace(last); decoded == "." || decoded == ".." {
		return nil, errors.New("must not end with a dot segment, which names what is above it")
	}
	if inQuery && r.picks() {
		return nil, errors.New("must end before the query, of which query_keep, query_drop or sort_query make " +
			"another")
	}
	x, err := r.askedFor(path)
	if err != nil {
		return nil, err
	}
	if strings.ContainsFunc(query, func(c rune) bool { return isSpace(c) || c == '#' }) {
		return nil, errors.New("has a query that no request can have")
	}
	b := r.appendPath(nil, x)
	if inQuery {
		b = append(append(b, '?'), query...)
	}
	return b, nil
}
