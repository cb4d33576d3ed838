package route

import (
	"bytes"

	"github.com/penstock-edge/penstock/edge/lib/values"
)

// PathError is why a request path has no canonical form. Its values are the predeclared variables below:
// refusing a path allocates nothing, and a caller may compare by identity.
type PathError struct {
	// Reason is plain English that never quotes the request, so it may be shown to the client.
	Reason string
}

// Error returns the reason with a short prefix.
func (e *PathError) Error() string { return "bad path: " + e.Reason }

// What Canonical refuses.
var (
	ErrPathStart     = &PathError{"the path must start with a slash"}
	ErrDoubleSlash   = &PathError{"the path must not start with two slashes"}
	ErrFragment      = &PathError{"a fragment is not allowed in a request target"}
	ErrQueryInPath   = &PathError{"a question mark is not allowed inside the path"}
	ErrNUL           = &PathError{"a NUL byte is not allowed in the path"}
	ErrControl       = &PathError{"control characters are not allowed in the path"}
	ErrSpace         = &PathError{"a space is not allowed in the path"}
	ErrBackslash     = &PathError{"a backslash is not allowed in the path"}
	ErrBadEscape     = &PathError{"a percent sign must be followed by two hexadecimal digits"}
	ErrClimb         = &PathError{"the path climbs above its root"}
	ErrEscapedParent = &PathError{"an escaped separator beside a dot segment is not allowed"}
	ErrDotParameter  = &PathError{"a parameter behind a dot segment is not allowed"}
)

// What a byte of a raw path is. Everything up to dot stands for itself.
const (
	plain byte = iota
	slash
	dot
	escape // a percent sign
	encode // a byte that has to be percent-encoded
	nul
	control
	space
	backslash
	fragment
	question
)

const upperHex = "0123456789ABCDEF"

// classes gives the class of every byte; never written after start.
var classes = classify()

// classify builds the table from RFC 3986, section 3.3. The square brackets are not in the
// grammar of a segment, but clients send them raw and every server takes them: they are plain.
func classify() (t [256]byte) {
	for c := range t {
		switch {
		case c == 0:
			t[c] = nul
		case c < 0x20 || c == 0x7f:
			t[c] = control
		case c >= 0x80:
			t[c] = encode
		}
	}
	for _, c := range []byte("\"<>^`{|}") {
		t[c] = encode
	}
	t['/'], t['.'], t['%'] = slash, dot, escape
	t[' '], t['\\'], t['#'], t['?'] = space, backslash, fragment, question
	return t
}

// Canonical appends the canonical form of raw, the path of an origin-form target without its
// query, to dst. Two paths that RFC 3986 calls equivalent have one canonical form; it is what is
// matched and what is forwarded, so that no target can read a path otherwise than the gateway did.
//
//   - Escapes of unreserved characters are decoded, all others kept with upper-case digits;
//     %2F and %5C therefore never become separators.
//   - Bytes that may not stand raw in a path but are common there are percent-encoded.
//   - Dot segments are resolved; empty inner segments are kept.
//
// On an error dst comes back as it was. dst and raw must not share memory.
func Canonical(dst, raw []byte) ([]byte, *PathError) {
	if len(raw) == 0 || raw[0] != '/' {
		return dst, ErrPathStart
	}
	if len(raw) > 1 && raw[1] == '/' {
		return dst, ErrDoubleSlash
	}
	if isCanonical(raw) {
		return append(dst, raw...), nil
	}
	start := len(dst)
	out, err := appendEscapes(dst, raw)
	if err != nil {
		return dst, err
	}
	n, err := resolveDots(out[start:])
	if err != nil {
		return dst, err
	}
	return out[:start+n], nil
}

// MergeSlashes makes each run of slashes in a raw path one, in place, and returns what is left of it.
func MergeSlashes(raw []byte) []byte {
	if !bytes.Contains(raw, []byte("//")) {
		return raw
	}
	n := 0
	for _, c := range raw {
		if c != '/' || n == 0 || raw[n-1] != '/' {
			raw[n] = c
			n++
		}
	}
	return raw[:n]
}

// isCanonical reports whether raw is made of plain bytes only and has no segment that starts with
// a dot. False says nothing: the long way may still find raw unchanged.
func isCanonical(raw []byte) bool {
	last := plain
	for _, c := range raw {
		class := classes[c]
		if class > dot || class == dot && last == slash {
			return false
		}
		last = class
	}
	return true
}

// appendEscapes appends raw with its escapes in normal form (RFC 3986, section 6.2.2).
func appendEscapes(dst, raw []byte) ([]byte, *PathError) {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		class := classes[c]
		switch {
		case class <= dot:
			dst = append(dst, c)
		case class == encode:
			dst = append(dst, '%', upperHex[c>>4], upperHex[c&15])
		case class == escape:
			v, ok := values.Unescape(raw[i:])
			if !ok {
				return dst, ErrBadEscape
			}
			if refused := classes[v]; refused == nul || refused == control {
				return dst, refusal(refused)
			}
			if unreserved(v) {
				dst = append(dst, v)
			} else {
				dst = append(dst, '%', upperHex[v>>4], upperHex[v&15])
			}
			i += 2
		default:
			return dst, refusal(class)
		}
	}
	return dst, nil
}

func refusal(class byte) *PathError {
	switch class {
	case nul:
		return ErrNUL
	case control:
		return ErrControl
	case space:
		return ErrSpace
	case backslash:
		return ErrBackslash
	case fragment:
		return ErrFragment
	case question:
		return ErrQueryInPath
	}
	panic("BUG: no reason to refuse this class of byte")
}

// resolveDots removes the dot segments of b in place (RFC 3986, section 5.2.4) and returns the
// new length. b starts with a slash and has its escapes in normal form. Climbing above the root,
// which the RFC forgives, is an error here, and so is a result that starts with two slashes: read
// as a reference it would name another host.
func resolveDots(b []byte) (int, *PathError) {
	w := 0
	for i := 0; i < len(b); {
		end := segmentEnd(b, i+1)
		seg := b[i+1 : end]
		switch {
		case !isDots(seg):
			if err := hiddenDots(seg); err != nil {
				return 0, err
			}
			w += copy(b[w:], b[i:end])
		case len(seg) == 2 && w == 0:
			return 0, ErrClimb
		case len(seg) == 2:
			w = bytes.LastIndexByte(b[:w], '/')
		}
		if end == len(b) && isDots(seg) {
			b[w] = '/'
			w++
		}
		i = end
	}
	if w > 1 && b[1] == '/' {
		return 0, ErrDoubleSlash
	}
	return w, nil
}

// hiddenDots returns what is wrong with a segment that has a "." or ".." part for targets that decode
// its %2F and %5C before they look for dot segments, or that cut off what begins with ";" or %3B.
func hiddenDots(seg []byte) *PathError {
	start, cut, named := 0, false, true // seg[start:] is a part, and its name while named
	for i := 0; i < len(seg); {
		separates, n := special(seg[i:])
		if n == 0 {
			i++
			continue
		}
		if named && isDots(seg[start:i]) {
			if separates {
				return ErrEscapedParent
			}
			return ErrDotParameter
		}
		start, cut, named = i+n, cut || separates, separates
		i += n
	}
	if cut && named && isDots(seg[start:]) {
		return ErrEscapedParent
	}
	return nil
}

// special returns the length of the escaped separator, or of the beginning of a parameter, that b
// begins with; 0: neither.
func special(b []byte) (separates bool, n int) {
	switch {
	case b[0] == ';':
		return false, 1
	case b[0] != '%' || len(b) < 3:
		return false, 0
	case b[1] == '2' && b[2] == 'F', b[1] == '5' && b[2] == 'C':
		return true, 3
	case b[1] == '3' && b[2] == 'B':
		return false, 3
	}
	return false, 0
}

func isDots(seg []byte) bool {
	return len(seg) == 1 && seg[0] == '.' || len(seg) == 2 && seg[0] == '.' && seg[1] == '.'
}

// segmentEnd returns the index of the first slash at or after from, or the length of path.
func segmentEnd(path []byte, from int) int {
	if i := bytes.IndexByte(path[from:], '/'); i >= 0 {
		return from + i
	}
	return len(path)
}

// unreserved follows RFC 3986, section 2.3.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}
