package hits

import (
	"os"
	"strconv"
	"strings"
)

// collections are the garbage collections of a part of a Go program's log, as GODEBUG=gctrace=1 writes it.
type collections struct {
	cycles  int
	seconds float64 // of CPU time: the pauses, the assists and the workers, without what was idle anyway
}

func (c collections) sub(before collections) collections {
	return collections{c.cycles - before.cycles, c.seconds - before.seconds}
}

func readCollections(file string) (collections, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return collections{}, err
	}
	return parseCollections(string(text)), nil
}

// parseCollections reads lines such as
//
//	gc 7 @1.2s 3%: 0.1+2.0+0.01 ms clock, 0.1+0.2/1.5/0.3+0.01 ms cpu, 4->5->3 MB, 8 MB goal, 1 P
//
// The numbers before "ms cpu" are: sweep's end + assist / workers / idle workers + mark's end.
func parseCollections(text string) collections {
	var c collections
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "gc ") || !strings.HasSuffix(line, "\n") {
			continue
		}
		line, _, ok := strings.Cut(line, " ms cpu")
		if !ok {
			continue
		}
		numbers := line[strings.LastIndexByte(line, ' ')+1:]
		for i, n := range strings.FieldsFunc(numbers, func(r rune) bool { return r == '+' || r == '/' }) {
			if i == 3 {
				continue // idle
			}
			ms, _ := strconv.ParseFloat(n, 64) // the runtime writes numbers
			c.seconds += ms / 1e3
		}
		c.cycles++
	}
	return c
}
