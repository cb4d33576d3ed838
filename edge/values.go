package edge

import "bytes"

// CookieValue returns the value of the first cookie called name in a Cookie field's value; nil when there is
// none. The value is as received, quotes included.
func CookieValue(cookie, name []byte) []byte {
	for len(cookie) > 0 {
		var pair []byte
		pair, cookie, _ = bytes.Cut(cookie, semicolon)
		k, v, ok := bytes.Cut(bytes.TrimLeft(pair, " "), equals)
		if ok && bytes.Equal(k, name) {
			return v
		}
	}
	return nil
}

// QueryValue returns the raw value of the first parameter called name in a query; nil when there is none.
func QueryValue(query, name []byte) []byte {
	for len(query) > 0 {
		var pair []byte
		pair, query, _ = bytes.Cut(query, ampersand)
		k, v, _ := bytes.Cut(pair, equals)
		if bytes.Equal(k, name) {
			return v
		}
	}
	return nil
}

var (
	semicolon = []byte(";")
	equals    = []byte("=")
	ampersand = []byte("&")
)
