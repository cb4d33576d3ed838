// Package units parses and prints measures as files have them: sizes, rates, durations.
package units

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written "64KiB", "8MiB", "1GB" or "0".
type Size int64

// ByteRate is a number of bytes per second, written "240B/s", "1MiB/s" or "0".
type ByteRate int64

// Rate is a number of events in a time, written "100/s", "5000/min", "10/h" or "1000000/day".
type Rate struct {
	Count int64         // at least 1 in a rate that was read from a file
	Per   time.Duration // second, minute, hour or day
}

const day = 24 * time.Hour

// String returns the size in the largest binary unit in which it is whole: "64KiB".
func (s Size) String() string {
	if s == 0 {
		return "0"
	}
	const units = "KMGT"
	n, unit := int64(s), "B"
	for i := 0; i < len(units) && n%1024 == 0; i++ {
		n, unit = n/1024, units[i:i+1]+"iB"
	}
	return strconv.FormatInt(n, 10) + unit
}

// String returns the rate in the largest binary unit in which it is whole: "1MiB/s".
func (r ByteRate) String() string {
	if r == 0 {
		return "0"
	}
	return Size(r).String() + "/s"
}

// String returns the rate as it is written: "100/s".
func (r Rate) String() string {
	unit := r.Per.String()
	switch r.Per {
	case time.Second:
		unit = "s"
	case time.Minute:
		unit = "min"
	case time.Hour:
		unit = "h"
	case day:
		unit = "day"
	}
	return strconv.FormatInt(r.Count, 10) + "/" + unit
}

// parseWhole reads an unsigned whole number at the start of text.
func parseWhole(text string) (n int64, rest string, ok bool) {
	end := 0
	for end < len(text) && '0' <= text[end] && text[end] <= '9' {
		end++
	}
	n, err := strconv.ParseInt(text[:end], 10, 64)
	return n, text[end:], err == nil
}

func unitBytes(unit string) int64 {
	switch unit {
	case "B":
		return 1
	case "KB":
		return 1e3
	case "MB":
		return 1e6
	case "GB":
		return 1e9
	case "TB":
		return 1e12
	case "KiB":
		return 1 << 10
	case "MiB":
		return 1 << 20
	case "GiB":
		return 1 << 30
	case "TiB":
		return 1 << 40
	}
	return 0
}

// ParseSize parses a size such as "64KiB".
func ParseSize(text string) (Size, bool) {
	n, unit, ok := parseWhole(text)
	if ok && n == 0 && unit == "" {
		return 0, true
	}
	by := unitBytes(unit)
	if !ok || by == 0 || n > math.MaxInt64/by {
		return 0, false
	}
	return Size(n * by), true
}

// ParseByteRate parses a rate of bytes such as "240B/s".
func ParseByteRate(text string) (ByteRate, bool) {
	size, perSecond := strings.CutSuffix(text, "/s")
	n, ok := ParseSize(size)
	if !perSecond && text != "0" {
		return 0, false
	}
	return ByteRate(n), ok
}

// ParseRate parses a rate such as "100/s".
func ParseRate(text string) (Rate, bool) {
	n, unit, ok := parseWhole(text)
	if !ok || n == 0 {
		return Rate{}, false
	}
	switch unit {
	case "/s":
		return Rate{n, time.Second}, true
	case "/min":
		return Rate{n, time.Minute}, true
	case "/h":
		return Rate{n, time.Hour}, true
	case "/day":
		return Rate{n, day}, true
	}
	return Rate{}, false
}

// ParseDuration takes what time.ParseDuration takes, without signs: no time in the file is negative.
func ParseDuration(text string) (time.Duration, bool) {
	if strings.ContainsAny(text, "+-") {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	return d, err == nil
}
