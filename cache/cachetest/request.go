// Package cachetest has what the tests of the packages of a cache have in common.
package cachetest

import (
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/clock"
	"strings"
)

// Request returns a GET for a path and query of h.example, with fields as "Name: value".
func Request(target string, fields ...string) *edge.Exchange {
	x := &edge.Exchange{}
	x.Reset()
	path, query, has := strings.Cut(target, "?")
	x.Method, x.Scheme, x.Path = []byte("GET"), "http", []byte(path)
	x.OutPath = x.Path
	x.Authority, x.Host = []byte("H.example"), []byte("h.example")
	x.SetOutHost(x.Authority)
	x.KeepRaw([]byte(query), has, nil, nil)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		x.Req.Add(name, value)
	}
	x.Slot = make([]any, 1)
	x.Times.Head = clock.Now()
	return x
}
