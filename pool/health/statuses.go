package health

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/edge/config"
)

// Statuses is a set of HTTP statuses, written as codes and ranges with commas between them: "200-299,401".
// The zero value holds none.
type Statuses struct {
	text   string
	ranges []statusRange
}

// statusRange has both its ends in it.
type statusRange struct{ first, last int }

// ParseStatuses reads a set. Codes are 200 to 599: an answer of 100 to 199 is never the last one, but for
// 101, which nobody asked for.
func ParseStatuses(text string) (Statuses, error) {
	s := Statuses{text: text}
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		r := statusRange{parseStatus(first), parseStatus(last)}
		if r.first == 0 || r.last < r.first {
			return Statuses{}, fmt.Errorf(`must be codes from 200 to 599 such as "200-299,401", is %q`, text)
		}
		s.ranges = append(s.ranges, r)
	}
	return s, nil
}

// parseStatus returns 0 for what is not a status.
func parseStatus(text string) int {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || len(text) != 3 || n < 200 || n > 599 {
		return 0
	}
	return int(n)
}

// UnmarshalConfig implements config.Unmarshaler.
func (s *Statuses) UnmarshalConfig(v config.Value) error {
	text, ok := v.String()
	if !ok {
		return fmt.Errorf(`must be statuses in a string such as "200-299,401", is %s`, v.Describe())
	}
	parsed, err := ParseStatuses(text)
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}

// Has reports whether the code is in the set.
func (s Statuses) Has(code int) bool {
	for _, r := range s.ranges {
		if r.first <= code && code <= r.last {
			return true
		}
	}
	return false
}

// String returns the set as it was written.
func (s Statuses) String() string { return s.text }
