package template

import "unicode/utf8"

// escape makes what stands in dst from a place on fit for where t puts it.
func escape(dst []byte, from int, place Place, form Form) (_ []byte, ok bool) {
	value := dst[from:]
	switch place {
	case Text:
		return dst, true
	case Field:
		return dropControls(dst, from), true
	case Host:
		return dst, isHost(value, form)
	}
	if isPlain(value, place, form) {
		return dst, true
	}
	mid := len(dst)
	switch place {
	case JSON:
		dst = appendJSON(dst, value)
	case HTML:
		dst = appendHTML(dst, value)
	default:
		dst = appendPercent(dst, value, place, form)
	}
	return dst[:from+copy(dst[from:], dst[mid:])], true
}

// dropControls leaves out what would end a field, and all other control characters but tabs (RFC 9110 section
// 5.5).
func dropControls(dst []byte, from int) []byte {
	kept := dst[:from]
	for _, c := range dst[from:] {
		if c >= ' ' && c != 0x7f || c == '\t' {
			kept = append(kept, c)
		}
	}
	return kept
}

// isHost reports whether a value can stand in an authority (RFC 3986 section 3.2.2).
func isHost(value []byte, form Form) bool {
	for _, c := range value {
		if !unreserved(c) && (form != HostForm || !hostMark(c)) {
			return false
		}
	}
	return len(value) > 0
}

func hostMark(c byte) bool {
	switch c {
	case ':', '[', ']', '!', '$', '&', '\'', '(', ')', '*', '+', ',', ';', '=', '%':
		return true
	}
	return false
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// isPlain reports whether nothing of a value needs to be escaped.
func isPlain(value []byte, place Place, form Form) bool {
	for _, c := range value {
		switch place {
		case JSON:
			if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
				return false
			}
		case HTML:
			if htmlEscapes(c) != "" {
				return false
			}
		default:
			if !stays(c, place, form) {
				return false
			}
		}
	}
	return true
}

// stays reports whether a byte of a value stays as it is in a URL.
func stays(c byte, place Place, form Form) bool {
	switch {
	case unreserved(c):
		return true
	case c <= ' ' || c >= 0x7f || c == '#':
		return false
	case form == PathForm && place == Path:
		return c != '?'
	case form == QueryForm && place == Query:
		return true
	case form == PathForm: // in a query: what would end a name or a value goes
		return !endsValue(c)
	case form == HostForm:
		return c == ':'
	}
	return false
}

func endsValue(c byte) bool {
	switch c {
	case '&', '=', '+', ';', '"', '<', '>':
		return true
	}
	return false
}

func appendPercent(dst, value []byte, place Place, form Form) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range value {
		if stays(c, place, form) {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '%', digits[c>>4], digits[c&15])
	}
	return dst
}

// appendJSON appends the inside of a JSON string (RFC 8259 section 7). What is not UTF-8 is replaced.
func appendJSON(dst, value []byte) []byte {
	const digits = "0123456789abcdef"
	for len(value) > 0 {
		c := value[0]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, n := utf8.DecodeRune(value)
			dst = utf8.AppendRune(dst, r)
			value = value[n:]
			continue
		}
		value = value[1:]
	}
	return dst
}

func appendHTML(dst, value []byte) []byte {
	for _, c := range value {
		if e := htmlEscapes(c); e != "" {
			dst = append(dst, e...)
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

func htmlEscapes(c byte) string {
	switch c {
	case '&':
		return "&amp;"
	case '<':
		return "&lt;"
	case '>':
		return "&gt;"
	case '"':
		return "&#34;"
	case '\'':
		return "&#39;"
	}
	return ""
}
