package wire

import "bytes"

// Mend appends to dst the head of an answer at the start of src, as long as AnswerEnd says, with CRLF behind
// each line and with folded lines joined by a space (RFC 9112 sections 2.2 and 5.2): some old devices and
// scripts send such heads. Nothing else is repaired: ScanResponse checks what comes of it. A fold before the
// first field, or of a field that says where the body ends, is refused, since others read another body then.
// The connection is best not used again: that what is taken for a line end was meant as one cannot be known.
func Mend(dst, src []byte) ([]byte, *Violation) {
	start, framing, first := len(dst), true, true
	for len(src) > 0 {
		end := bytes.IndexByte(src, '\n')
		if end < 0 {
			return dst[:start], &responseFaults[faultIncomplete]
		}
		line := bytes.TrimSuffix(src[:end], crlf[:1])
		src = src[end+1:]
		if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
			if framing {
				return dst[:start], &responseFaults[faultFold]
			}
			dst = append(dst[:len(dst)-len(crlf)], ' ')
			dst = append(append(dst, trim(line)...), crlf...)
			continue
		}
		framing = first || framesBody(line)
		first = false
		dst = append(append(dst, line...), crlf...)
	}
	return dst, nil
}

// framesBody reports whether a field line says where the body ends.
func framesBody(line []byte) bool {
	name, _, _ := bytes.Cut(line, []byte(":"))
	k := classify(name)
	return k == kindContentLength || k == kindTransferEncoding
}
