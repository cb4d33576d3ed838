package rig

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestScrape(t *testing.T) {
	f := func(text string, want map[string]float64) {
		t.Helper()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/metrics" {
				io.WriteString(w, text)
			}
		}))
		defer s.Close()
		defer http.DefaultClient.CloseIdleConnections()
		got, err := Scrape(strings.TrimPrefix(s.URL, "http://"))
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	f("", map[string]float64{})
	f("# HELP a Some.\n# TYPE a counter\na 3\nb 1.5e3\n", map[string]float64{"a": 3, "b": 1500})
	f("a{x=\"1\"} 3\na{x=\"2 3\"} 4\n", map[string]float64{"a": 7})
	f("a{x=\"} 5\"} 4\n", map[string]float64{"a": 4})
}
