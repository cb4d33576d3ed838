package logline

import "time"

// AppendTimeRFC3339Milli appends t in UTC to the millisecond, as RFC 3339 has it:
// 2006-01-02T15:04:05.000Z. Nothing is cached: computing it costs no more than looking
// whether a cached second is still the right one for a request that began earlier.
func AppendTimeRFC3339Milli(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if uint(year) > 9999 {
		return t.AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
	}
	dst = append2(append2(dst, year/100), year%100)
	dst = append2(append(dst, '-'), int(month))
	dst = append2(append(dst, '-'), day)
	dst = appendClock(append(dst, 'T'), t)
	milli := t.Nanosecond() / 1e6
	return append(dst, '.', byte('0'+milli/100), byte('0'+milli/10%10), byte('0'+milli%10), 'Z')
}

// AppendTimeCLF appends t in UTC as the common log format has it, without brackets:
// 02/Jan/2006:15:04:05 +0000.
func AppendTimeCLF(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if uint(year) > 9999 {
		return t.AppendFormat(dst, "02/Jan/2006:15:04:05 -0700")
	}
	const months = "JanFebMarAprMayJunJulAugSepOctNovDec"
	dst = append(append2(dst, day), '/')
	dst = append(append(dst, months[3*month-3:3*month]...), '/')
	dst = append2(append2(dst, year/100), year%100)
	dst = appendClock(append(dst, ':'), t)
	return append(dst, " +0000"...)
}

func appendClock(dst []byte, t time.Time) []byte {
	hour, minute, second := t.Clock()
	dst = append2(dst, hour)
	dst = append2(append(dst, ':'), minute)
	return append2(append(dst, ':'), second)
}

// append2 appends n, 0 to 99, with two digits.
func append2(dst []byte, n int) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }
