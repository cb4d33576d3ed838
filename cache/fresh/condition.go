package fresh

import "bytes"

// NotModified reports whether a conditional GET or HEAD is answered 304 (RFC 9110 section 13.2.2): none
// and since are its If-None-Match and If-Modified-Since, nil where it has none; etag and modified those
// of the answer, empty and 0 where it has none.
func NotModified(none, since, etag []byte, modified int64) bool {
	if len(none) > 0 {
		return HasTag(none, etag)
	}
	at, ok := Date(since)
	return ok && modified != 0 && modified <= at
}

// HasTag reports whether a list of entity tags has the tag, by weak comparison; "*" has any (section
// 13.1.2).
func HasTag(list, etag []byte) bool {
	list = bytes.Trim(list, " \t")
	if len(list) == 1 && list[0] == '*' {
		return true
	}
	etag = opaque(etag)
	if len(etag) == 0 {
		return false
	}
	for len(list) > 0 {
		list = opaque(bytes.TrimLeft(list, " \t,"))
		if len(list) == 0 || list[0] != '"' {
			return false // not a tag: the rest cannot be read
		}
		end := bytes.IndexByte(list[1:], '"')
		if end < 0 {
			return false
		}
		if bytes.Equal(list[:end+2], etag) {
			return true
		}
		list = list[end+2:]
	}
	return false
}

// opaque takes the mark of a weak tag off.
func opaque(tag []byte) []byte { return bytes.TrimPrefix(tag, weak) }

var weak = []byte("W/")

// RangeHolds reports whether a Range may be answered in part, given If-Range (section 13.1.5): a strong
// tag, or a date that is the answer's and was a strong validator.
func RangeHolds(ifRange, etag []byte, modified, date int64) bool {
	switch {
	case len(ifRange) == 0:
		return true
	case ifRange[0] == '"':
		return bytes.Equal(ifRange, etag)
	}
	at, ok := Date(ifRange)
	return ok && at == modified && date-modified >= 1000 // RFC 9110 section 8.8.2.2
}

// Span is a part of a body.
type Span struct{ From, To int64 } // To is the byte behind it

// mostSpans bounds how many parts are answered; who asks for more gets all.
const mostSpans = 16

// Ranges reads the Range field for a body of a length (RFC 9110 section 14.2) into spans that have room
// for them. ok is false when the field means nothing, is no list of byte ranges, or asks for too much:
// it is then ignored. No spans and ok: none of them can be had, which is 416.
func Ranges(field []byte, length int64, into []Span) (spans []Span, ok bool) {
	const unit = "bytes="
	if len(field) < len(unit) || !is(field[:len(unit)], unit) {
		return nil, false
	}
	spans = into[:0]
	total, count := int64(0), 0
	for list := field[len(unit):]; ; {
		var one []byte
		var more bool
		one, list, more = bytes.Cut(list, comma)
		if one = bytes.Trim(one, " \t"); len(one) > 0 {
			if count++; count > mostSpans {
				return nil, false
			}
			s, have, good := span(one, length)
			if !good {
				return nil, false
			}
			if have {
				spans = append(spans, s)
				total += s.To - s.From
			}
		}
		if !more {
			break
		}
	}
	// Parts that overlap make an answer larger than the whole: nobody needs that (section 14.2).
	if count == 0 || len(spans) > 1 && total > length {
		return nil, false
	}
	return spans, true
}

var comma = []byte(",")

// span reads one range; have is false when nothing of the body is in it.
func span(b []byte, length int64) (s Span, have, good bool) {
	at := bytes.IndexByte(b, '-')
	if at < 0 {
		return s, false, false
	}
	from, to := b[:at], b[at+1:]
	if len(from) == 0 {
		n, ok := number(to)
		if !ok {
			return s, false, false
		}
		return Span{max(length-n, 0), length}, n > 0 && length > 0, true
	}
	first, ok := number(from)
	if !ok {
		return s, false, false
	}
	last := length - 1
	if len(to) > 0 {
		n, ok := number(to)
		if !ok || n < first {
			return s, false, false
		}
		last = min(last, n)
	}
	return Span{first, last + 1}, first < length, true
}

func number(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int64(c-'0'), 1<<60)
	}
	return n, len(b) > 0
}
