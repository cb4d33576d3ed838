// Package logline builds log lines without allocating and gets them to the disk off
// the path of requests: Append functions for JSON and for the combined format, and
// Sink, which takes finished lines and never makes its caller wait for a disk.
package logline

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"
	"unsafe"
)

const hex = "0123456789abcdef"

// AppendString appends s as a JSON string in quotes (RFC 8259 section 7). Bytes that
// are not UTF-8 become \ufffd one by one. Besides what JSON asks for, it escapes what
// a terminal or a JavaScript reader would act upon: DEL, the C1 control characters and
// the line separators U+2028 and U+2029.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0 // start of what has not been copied yet
	for i := 0; i < len(s); {
		if plainASCII(s[i]) {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if size > 1 && r > 0x9f && r != '\u2028' && r != '\u2029' {
			i += size
			continue
		}
		dst = append(dst, s[from:i]...)
		dst = appendEscaped(dst, r)
		i += size
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

// AppendBytes is AppendString for bytes.
func AppendBytes(dst, b []byte) []byte {
	return AppendString(dst, unsafe.String(unsafe.SliceData(b), len(b)))
}

func plainASCII(c byte) bool { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' }

// appendEscaped needs r below U+10000; invalid bytes come as U+FFFD.
func appendEscaped(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

// AppendInt appends n in decimal.
func AppendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// AppendFloat3 appends f with three decimals, AppendFloat6 with six; null when f is
// no number or infinite, for JSON has neither. The last decimal is that of a product
// rounded once more: of a value half way between two it may be either.
func AppendFloat3(dst []byte, f float64) []byte { return appendFixed(dst, f, 3, 1e3) }

// AppendFloat6 appends f with six decimals, like AppendFloat3.
func AppendFloat6(dst []byte, f float64) []byte { return appendFixed(dst, f, 6, 1e6) }

func appendFixed(dst []byte, f float64, decimals int, scale float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	n := math.RoundToEven(math.Abs(f) * scale)
	if n >= 1<<53 { // no integer of its own any more
		return strconv.AppendFloat(dst, f, 'f', decimals, 64)
	}
	if math.Signbit(f) && n > 0 {
		dst = append(dst, '-')
	}
	return appendScaled(dst, uint64(n), uint64(scale))
}

// appendScaled appends n/scale, scale being a power of ten.
func appendScaled(dst []byte, n, scale uint64) []byte {
	dst = strconv.AppendUint(dst, n/scale, 10)
	dst = append(dst, '.')
	for n %= scale; scale > 1; n %= scale {
		scale /= 10
		dst = append(dst, byte('0'+n/scale))
	}
	return dst
}

// AppendSeconds appends d in seconds with six decimals, cut to the microsecond. It
// takes integers only and is the fast way to log a duration; a negative one logs as 0.
func AppendSeconds(dst []byte, d time.Duration) []byte {
	return appendScaled(dst, uint64(max(d, 0)/time.Microsecond), 1e6)
}
