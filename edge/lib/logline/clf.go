package logline

const upperHex = "0123456789ABCDEF"

// AppendCLF appends s as the inside of a quoted field of the combined log format:
// quotes, backslashes, control bytes and everything beyond ASCII become \xHH, so that
// no client can end a field or a line, and a reader can have the bytes back. An empty
// s is written as "-", as the format does with what is missing.
func AppendCLF(dst []byte, s []byte) []byte {
	if len(s) == 0 {
		return append(dst, '-')
	}
	from := 0
	for i, c := range s {
		if plainASCII(c) {
			continue
		}
		dst = append(dst, s[from:i]...)
		dst = append(dst, '\\', 'x', upperHex[c>>4], upperHex[c&15])
		from = i + 1
	}
	return append(dst, s[from:]...)
}
