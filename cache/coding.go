package cache

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// codingSet are content codings of the closed set that the target is offered. deflate is none of them: it
// means two different things.
type codingSet uint8

const (
	withGzip codingSet = 1 << iota
	withBrotli
	withZstd
	allCodings = withGzip | withBrotli | withZstd
)

// offers are the sets as the target is told them, always in this order, and identity for none.
var offers = [allCodings + 1]string{
	0:                                "identity",
	withGzip:                         "gzip",
	withBrotli:                       "br",
	withBrotli | withGzip:            "br, gzip",
	withZstd:                         "zstd",
	withZstd | withGzip:              "zstd, gzip",
	withZstd | withBrotli:            "zstd, br",
	withZstd | withBrotli | withGzip: "zstd, br, gzip",
}

// codingNamed returns the set of one coding; 0: the name is of none in the closed set.
func codingNamed(name []byte) codingSet {
	switch {
	case header.SameName(name, "gzip"), header.SameName(name, "x-gzip"): // RFC 9110 section 8.4.1.3
		return withGzip
	case header.SameName(name, "br"):
		return withBrotli
	case header.SameName(name, "zstd"):
		return withZstd
	}
	return 0
}

// codingsOf returns the codings that a request accepts. One that is named with a weight of 0, or with
// none that can be read, is not.
func codingsOf(x *edge.Exchange) codingSet {
	if !x.Req.Has("Accept-Encoding") {
		return 0
	}
	var room [256]byte
	return codingsIn(x.Req.AppendList(room[:0], "Accept-Encoding"))
}

func codingsIn(list []byte) (set codingSet) {
	var named, refused codingSet
	rest := false // what is not named
	for len(list) > 0 {
		var one []byte
		one, list, _ = bytes.Cut(list, []byte{','})
		name, param, weighted := bytes.Cut(one, []byte{';'})
		name = bytes.TrimSpace(name)
		wanted := !weighted || positive(param)
		if len(name) == 1 && name[0] == '*' {
			rest = wanted
			continue
		}
		c := codingNamed(name)
		named |= c
		if !wanted {
			refused |= c
		}
	}
	if set = named &^ refused; rest {
		set |= allCodings &^ named
	}
	return set
}

// positive reports whether what stands behind the name of a coding is a weight greater than 0.
func positive(param []byte) bool {
	name, value, _ := bytes.Cut(param, []byte{'='})
	w, ok := weightOf(bytes.TrimSpace(value))
	return header.SameName(bytes.TrimSpace(name), "q") && ok && w > 0
}

// coding is a content coding that the cache makes itself.
type coding struct {
	name   string
	set    codingSet
	encode func(dst, src []byte) []byte
}

// codings are those that can be configured. The levels take some 10 to 40 ms a megabyte.
var codings = []coding{
	{"gzip", withGzip, func(dst, src []byte) []byte { return fasthttp.AppendGzipBytesLevel(dst, src, 6) }},
	{"br", withBrotli, func(dst, src []byte) []byte { return fasthttp.AppendBrotliBytesLevel(dst, src, 5) }},
	{"zstd", withZstd, func(dst, src []byte) []byte {
		return fasthttp.AppendZstdBytesLevel(dst, src, fasthttp.CompressZstdDefault)
	}},
}
