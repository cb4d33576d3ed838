package admin

import (
	"bytes"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// readOnly reports whether a call changes nothing (RFC 9110 9.2.1).
func readOnly(ctx *fasthttp.RequestCtx) bool { return ctx.IsGet() || ctx.IsHead() }

// refuse returns why a call is not allowed, "" when it is. Where there is no password, what is kept out is a
// browser that runs somebody else's page, and a client of the gateway that has found a way through it. Such a
// page can send a call here by address, which browsers tell of, or by a name of its own that suddenly
// resolves to this machine, which the check of Host stops.
func (s *Server) refuse(ctx *fasthttp.RequestCtx) string {
	h := &ctx.Request.Header
	if field := proxied(h); field != "" {
		return "the admin API takes no calls that came through a proxy, and this one has " + field +
			": call its address directly"
	}
	from := callerOf(h)
	switch {
	case from == crossSite:
		return "calls of pages of other sites are not taken"
	case !readOnly(ctx) && (len(h.Peek("Origin")) > 0 || len(h.Peek("Sec-Fetch-Site")) > 0):
		return "calls that change something are not taken from browsers"
	case readOnly(ctx) && costs(ctx.Path()) && from == unknownSite:
		return "a profile costs time: a browser gets it by a link of /debug/pprof/, others without its fields"
	}
	if ctx.LocalAddr().Network() == "unix" {
		return "" // no browser can get there
	}
	if !s.knownHost(h.Host()) || !s.knownHost(ctx.Host()) { // they differ when the target is a whole URI
		return "Host must be an IP address, localhost or the name of this machine"
	}
	return ""
}

// proxied returns a field that proxies add, as it came; "": there is none. Signs in names are taken as equal,
// as some servers do.
func proxied(h *fasthttp.RequestHeader) string {
	for name := range h.All() {
		plain := strings.Map(func(c rune) rune {
			if c < 'a' || c > 'z' {
				return '-'
			}
			return c
		}, strings.ToLower(string(name)))
		if plain == "via" || plain == "forwarded" || strings.HasPrefix(plain, "x-forwarded") {
			return string(name)
		}
	}
	return ""
}

// caller is where a call comes from, by what browsers send.
type caller uint8

const (
	noBrowser   caller = iota // curl, a scraper of metrics
	sameSite                  // a page of this API
	unknownSite               // a browser that does not say: a person typed, or another site hides
	crossSite
)

// callerOf finds where a call comes from. Sec-Fetch-Site is sent to addresses of this machine and over TLS
// only, Origin with what changes something, Referer unless the page forbids it.
func callerOf(h *fasthttp.RequestHeader) caller {
	fetch, origin := string(h.Peek("Sec-Fetch-Site")), string(h.Peek("Origin"))
	referer := string(h.Peek("Referer"))
	host := strings.ToLower(string(h.Host()))
	switch {
	case fetch == "cross-site", fetch == "same-site": // another port of this machine is the same site
		return crossSite
	case origin != "" && !isOf(origin, host), referer != "" && !isOf(referer, host):
		return crossSite
	case fetch == "same-origin", origin != "", referer != "":
		return sameSite
	case fetch != "", bytes.HasPrefix(h.UserAgent(), []byte("Mozilla/")): // as all browsers begin
		return unknownSite
	}
	return noBrowser
}

// isOf reports whether a URL is one of host.
func isOf(url, host string) bool {
	_, rest, ok := strings.Cut(strings.ToLower(url), "://")
	authority, _, _ := strings.Cut(rest, "/")
	return ok && authority == host
}

// costs reports whether a call takes the gateway's time although it changes nothing.
func costs(path []byte) bool {
	const root = "/debug/pprof/"
	return bytes.HasPrefix(path, []byte(root)) && len(path) > len(root)
}

// knownHost reports whether a Host cannot be a name under another's control. None at all is fine: a browser
// always sends one.
func (s *Server) knownHost(host []byte) bool {
	name := string(bytes.ToLower(host))
	if name == "" {
		return true
	}
	if _, err := netip.ParseAddrPort(name); err == nil {
		return true
	}
	if _, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")); err == nil {
		return true
	}
	if i := strings.LastIndexByte(name, ':'); i >= 0 && strings.Trim(name[i+1:], "0123456789") == "" {
		name = name[:i]
	}
	return slices.Contains(s.hosts, strings.TrimSuffix(name, "."))
}

// ownNames returns the names of this machine and the further ones, in lower case.
func ownNames(further []string) []string {
	names := []string{"localhost"}
	if own, err := os.Hostname(); err == nil && own != "" {
		names = append(names, strings.ToLower(own))
	}
	for _, name := range further {
		names = append(names, strings.ToLower(name))
	}
	return names
}
