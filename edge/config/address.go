package config

import (
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/edge/config/lex"
)

const badAddress = `must be "host:port", ":port" or "unix:/path", is `

// endpoint is what an address to listen on stands for, in a form that can be compared.
type endpoint struct {
	unix string // path of a Unix socket, "" for TCP
	host string // "" for all addresses of the machine
	port int
}

// parseEndpoint reads host:port, :port or unix:/path. A port is a number; 0 is one that the system picks.
func parseEndpoint(address string) (endpoint, bool) {
	if socket, ok := strings.CutPrefix(address, "unix:"); ok {
		return endpoint{unix: path.Clean(socket)}, strings.HasPrefix(socket, "/") && path.Clean(socket) != "/"
	}
	host, digits, err := net.SplitHostPort(address)
	if err != nil || digits == "" || digits[0] == '+' {
		return endpoint{}, false
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return endpoint{}, false
	}
	host, ok := plainHost(host)
	return endpoint{host: host, port: int(port)}, ok
}

// plainHost returns the one form of a host to listen on, "" for all addresses.
func plainHost(host string) (string, bool) {
	if host == "" {
		return "", true
	}
	if strings.EqualFold(host, "localhost") {
		return "127.0.0.1", true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return strings.ToLower(host), IsHostName(host)
	}
	addr = addr.Unmap()
	// net.Listen takes all addresses of both families for either of them.
	if addr.IsUnspecified() {
		return "", true
	}
	return addr.String(), true
}

// IsHostName reports whether s is a name as RFC 1123 section 2.1 has it, which is not a number in dots.
func IsHostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	letters := false
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if !lex.IsBareKeyByte(label[i]) {
				return false
			}
			letters = letters || label[i] > '9'
		}
	}
	return letters
}

// clashes reports whether only one of two endpoints can be listened on.
func (e endpoint) clashes(other endpoint) bool {
	if e.unix != "" || other.unix != "" {
		return e.unix == other.unix
	}
	if e.port != other.port || e.port == 0 {
		return false
	}
	return e.host == other.host || e.host == "" || other.host == ""
}

// CheckServer returns what is wrong with the address of a server to connect to, host:port or unix:/path. The
// first argument is its name in the message.
func CheckServer(what, address string) error {
	if socket, ok := strings.CutPrefix(address, "unix:"); ok {
		if socket == "" {
			return fmt.Errorf("%s %q names no socket: want unix:/path", what, address)
		}
		return nil
	}
	right := urlTarget(address)
	if address = withoutUser(address); right != "" {
		return fmt.Errorf("%s %q %s", what, address, right)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return fmt.Errorf("%s %q is not host:port or unix:/path", what, address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%s %q has no port from 1 to 65535", what, address)
	}
	return nil
}
