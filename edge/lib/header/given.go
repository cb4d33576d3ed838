package header

import (
	"strings"
)

// Given returns the canonical name of a field that the configuration gives an answer, and why it cannot be
// there; why is empty when it can.
func Given(name, value string) (key, why string) {
	key = Canonical(name)
	switch key {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
		"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info", "Close":
		return key, "belongs to one connection and cannot be given (RFC 9110 section 7.6.1)"
	case "Content-Length", "Date":
		return key, "is made by the gateway"
	}
	if !IsToken(name) {
		return key, "is not the name of a header"
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return key, "a header's value is one line without control characters"
		}
	}
	if strings.Trim(value, " \t") != value {
		return key, "a header's value begins and ends with something to see"
	}
	return key, ""
}
