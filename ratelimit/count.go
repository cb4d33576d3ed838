package ratelimit

import (
	"fmt"
	"strconv"
	"strings"
)

// statuses is a set of statuses of answers.
type statuses [10]uint64

const firstStatus, lastStatus = 200, 599

func (s *statuses) has(status int) bool {
	return status >= 0 && status < 64*len(s) && s[status/64]&(1<<(status%64)) != 0
}

// parseStatuses reads codes and ranges, separated by commas: "401,403", "400-499".
func parseStatuses(text string) (*statuses, error) {
	s := &statuses{}
	for item := range strings.SplitSeq(text, ",") {
		item = strings.Trim(item, " ")
		first, last, isRange := strings.Cut(item, "-")
		if !isRange {
			last = first
		}
		from, ok := parseStatus(first)
		to, good := parseStatus(last)
		if !ok || !good || from > to {
			return nil, fmt.Errorf("must be statuses from %d to %d and ranges of them, such as \"401,403\" or "+
				"\"400-499\"; %q is not one", firstStatus, lastStatus, item)
		}
		for ; from <= to; from++ {
			s[from/64] |= 1 << (from % 64)
		}
	}
	return s, nil
}

func parseStatus(text string) (int, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return int(n), err == nil && len(text) == 3 && n >= firstStatus && n <= lastStatus
}

// look asks whether there is as much left as the request may cost, and charges nothing.
func (u *use) look(now int64) bool {
	l := u.limit
	switch {
	case l.asks:
		u.last.OK = true // asked later, with the others
	case l.shared != nil && !l.shared.Up():
		u.fallBack(now)
	default:
		u.last = l.meter.Peek(u.key, now, u.cost)
	}
	return u.last.OK
}
