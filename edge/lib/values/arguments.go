package values

import (
	"fmt"
	"net/url"
	"strings"
)

// Argument is one of a query, decoded.
type Argument struct{ Name, Value string }

// Arguments returns those of a query that gives an order, in their order. Unlike the readers of requests it
// takes nothing for what it may have meant: a bad escape is an error.
func Arguments(query []byte) (all []Argument, err error) {
	for pair := range strings.SplitSeq(string(query), "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		var a Argument
		if a.Name, err = url.QueryUnescape(name); err == nil {
			a.Value, err = url.QueryUnescape(value)
		}
		if err != nil {
			return nil, fmt.Errorf("the query is not escaped as it should be: %w; %% itself is written %%25", err)
		}
		all = append(all, a)
	}
	return all, nil
}
