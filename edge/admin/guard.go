package admin

import (
	"bytes"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// readOnly tells whether a call changes nothing (RFC 9110 9.2.1).
func readOnly(ctx *fasthttp.RequestCtx) bool { return ctx.IsGet() || ctx.IsHead() }

// refuse returns why a call is not allowed, "" when it is. There is no password: what is kept out is a
// browser that runs somebody else's page. Such a page can send a call here by address, which the first rule
// stops, or by a name of its own that suddenly resolves to this machine, which the second one stops.
func (s *Server) refuse(ctx *fasthttp.RequestCtx) string {
	h := &ctx.Request.Header
	if !readOnly(ctx) && (len(h.Peek("Origin")) > 0 || len(h.Peek("Sec-Fetch-Site")) > 0) {
		return "calls that change something are not taken from browsers"
	}
	if ctx.LocalAddr().Network() == "unix" {
		return "" // no browser can get there
	}
	if !s.knownHost(h.Host()) || !s.knownHost(ctx.Host()) { // they differ when the target is a whole URI
		return "Host must be an IP address, localhost or the name of this machine"
	}
	return ""
}

// knownHost tells whether a Host cannot be a name that somebody else controls. None at all is fine: a browser
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
