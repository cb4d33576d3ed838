package edge

import "testing"

func TestRepeatable(t *testing.T) {
	for method, want := range map[string]bool{"GET": true, "HEAD": true, "PUT": true, "DELETE": true, "OPTIONS": true, "TRACE": true,
		"QUERY": true, "POST": false, "PATCH": false, "query": false, "FETCH": false} {
		x := &Exchange{}
		x.Reset()
		x.Method = []byte(method)
		if got := x.Repeatable(); got != want {
			t.Errorf("%s: %v", method, got)
		}
	}
}
