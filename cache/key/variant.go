package key

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// AppendVariant appends the values that a request has for the fields that an answer depends on (RFC 9111
// section 4.1). Each has a byte before it that tells an empty field from none. encoded reports whether
// Accept-Encoding is among them: what is appended ends with a slot then, that for what the request
// accepts alone.
func AppendVariant(dst, vary []byte, x *edge.Exchange, accepts accept.Set) (_ []byte, encoded bool) {
	for len(vary) > 0 {
		var name []byte
		name, vary, _ = bytes.Cut(vary, []byte{','})
		switch {
		case string(name) == "Cookie":
			continue // those that count are in the key already
		case accept.IsAcceptEncoding(name):
			encoded = true
			continue
		}
		dst = append(append(dst, 1), name...) // answers of a URL may depend on other fields by and by
		if accept.IsPreference(name) {
			dst = accept.AppendPreferences(append(dst, 2), x, name)
			continue
		}
		some := false
		for v := range x.Req.All(header.View(name)) {
			if some {
				dst = append(dst, ',')
			}
			dst, some = append(append(dst, 2), v...), true
		}
	}
	if encoded {
		dst = append(dst, 1, accepts.OwnSlot())
	}
	return dst, encoded
}

// AppendBody appends what a key has of a request with a body: the method, what says how the body is to be
// read, and a hash of it that nobody can find two bodies for.
func AppendBody(dst []byte, x *edge.Exchange, body []byte) []byte {
	dst = append(append(dst, 0), x.Method...)
	for _, name := range BodyFields {
		dst = x.Req.AppendKey(append(dst, 0), name)
	}
	sum := sha256.Sum256(body)
	return hex.AppendEncode(append(dst, 0), sum[:])
}

// BodyFields say how a body is to be read.
var BodyFields = []string{"Content-Type", "Content-Encoding", "Content-Language"}
