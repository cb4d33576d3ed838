package fresh

import "time"

// Date reads an HTTP date in any of its three forms (RFC 9110 section 5.6.7), without regard to case (RFC
// 9111 section 4.2), as milliseconds since 1970; false: it is none.
func Date(b []byte) (int64, bool) {
	var d, m, y, h, mi, s int
	ok := true
	num := func(t []byte) (n int) {
		for _, c := range t {
			if c < '0' || c > '9' {
				ok = false
				return 0
			}
			n = n*10 + int(c-'0')
		}
		return n
	}
	clock := func(t []byte) {
		if t[2] != ':' || t[5] != ':' {
			ok = false
			return
		}
		h, mi, s = num(t[:2]), num(t[3:5]), num(t[6:8])
	}
	comma := 0
	for comma < len(b) && b[comma] != ',' {
		comma++
	}
	switch {
	case len(b) == 29 && comma == 3: // Sun, 06 Nov 1994 08:49:37 GMT
		d, m, y = num(b[5:7]), month(b[8:11]), num(b[12:16])
		clock(b[17:25])
		ok = ok && day(b[:3]) && is(b[25:], " gmt") && b[4] == ' ' && b[7] == ' ' && b[11] == ' ' &&
			b[16] == ' '
	case comma < len(b) && len(b) == comma+24: // Sunday, 06-Nov-94 08:49:37 GMT
		t := b[comma:]
		d, m, y = num(t[2:4]), month(t[5:8]), num(t[9:11])
		if y += 1900; y < 1970 {
			y += 100
		}
		clock(t[12:20])
		ok = ok && comma >= 6 && day(b[:3]) && is(t[20:], " gmt") && t[1] == ' ' && t[4] == '-' &&
			t[8] == '-' && t[11] == ' '
	case len(b) == 24: // Sun Nov  6 08:49:37 1994
		if b[8] == ' ' {
			d = num(b[9:10])
		} else {
			d = num(b[8:10])
		}
		m, y = month(b[4:7]), num(b[20:24])
		clock(b[11:19])
		ok = ok && day(b[:3]) && b[3] == ' ' && b[7] == ' ' && b[10] == ' ' && b[19] == ' '
	default:
		return 0, false
	}
	if !ok || m == 0 || d < 1 || d > 31 || h > 23 || mi > 59 || s > 60 {
		return 0, false
	}
	t := time.Date(y, time.Month(m), d, h, mi, s, 0, time.UTC)
	return t.UnixMilli(), t.Day() == d || s == 60
}

// month returns the number of a month, 0 for none.
func month(b []byte) int {
	const all = "janfebmaraprmayjunjulaugsepoctnovdec"
	for i := 0; i < len(all); i += 3 {
		if is(b, all[i:i+3]) {
			return i/3 + 1
		}
	}
	return 0
}

func day(b []byte) bool {
	const all = "montuewedthufrisatsun"
	for i := 0; i < len(all); i += 3 {
		if is(b, all[i:i+3]) {
			return true
		}
	}
	return false
}
