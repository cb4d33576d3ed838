package conform

import (
	"net/http"
	"strings"
)

// cut is an answer that breaks off in the middle.
func cut(chunked bool) func(*http.Request) Answer {
	return func(*http.Request) Answer {
		return Answer{Body: strings.Repeat("x", 10_000), Fields: []string{"Cache-Control: max-age=100"}, Cut: true,
			Chunked: chunked}
	}
}
