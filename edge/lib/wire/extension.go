package wire

// extPlace is where extensions stands in a size line.
type extPlace uint8

const (
	extGap     extPlace = iota // behind the size or a value: ";" or the end comes next
	extName0                   // behind ";": a name comes next
	extName                    // in a name
	extNameGap                 // behind a name: "=", ";" or the end comes next
	extValue0                  // behind "=": a value comes next
	extToken                   // in a value without quotes
	extQuoted                  // in a value with quotes
	extEscaped                 // behind a backslash in one
)

// extensions checks what stands in b between a chunk's size and the CR of its line (RFC 9112 section 7.1.1):
// *( BWS ";" BWS name [ BWS "=" BWS value ] ), where a value is a token or a quoted string. n is how many
// bytes of b belong to it; whole is false when b ends before the line does. An answer may have white space
// behind all of it.
func extensions(b []byte, answer bool) (n int, whole bool, bad fault) {
	at, spaced, any := extGap, false, false
	for n < len(b) && b[n] != '\r' {
		c := b[n]
		n++
		if (c == ' ' || c == '\t') && at < extQuoted {
			at, spaced = afterSpace(at), true
			continue
		}
		next, ok := afterByte(at, c)
		if !ok {
			return n, false, sizeLineFault(any)
		}
		at, spaced, any = next, false, true
	}
	switch {
	case n == len(b):
		return n, false, faultNone
	case at == extName0 || at == extValue0 || at >= extQuoted, spaced && !answer:
		return n, false, sizeLineFault(any)
	}
	return n, true, faultNone
}

func sizeLineFault(extended bool) fault {
	if extended {
		return faultChunkExtension
	}
	return faultChunkSize
}

// afterSpace is where white space leads outside of quotes.
func afterSpace(at extPlace) extPlace {
	switch at {
	case extName:
		return extNameGap
	case extToken:
		return extGap
	}
	return at
}

// afterByte is where c leads, which is no white space outside of quotes; not ok: it may not stand there.
func afterByte(at extPlace, c byte) (next extPlace, ok bool) {
	token := lower[c] != 0
	switch at {
	case extName0:
		return extName, token
	case extName:
		if token {
			return extName, true
		}
		return afterNameByte(c)
	case extNameGap:
		return afterNameByte(c)
	case extValue0:
		if c == '"' {
			return extQuoted, true
		}
		return extToken, token
	case extToken:
		if token {
			return extToken, true
		}
	case extQuoted:
		return inQuotes(c)
	case extEscaped:
		return extQuoted, class[c]&inValue != 0
	}
	return extName0, c == ';'
}

func afterNameByte(c byte) (next extPlace, ok bool) {
	if c == '=' {
		return extValue0, true
	}
	return extName0, c == ';'
}

func inQuotes(c byte) (next extPlace, ok bool) {
	switch c {
	case '"':
		return extGap, true
	case '\\':
		return extEscaped, true
	}
	return extQuoted, class[c]&inValue != 0
}
