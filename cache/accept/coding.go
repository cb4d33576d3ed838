package accept

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// Set are content codings of the closed set that the target is offered. deflate is none of them: it
// means two different things.
type Set uint8

// The codings, and all of them.
const (
	Gzip Set = 1 << iota
	Brotli
	Zstd
	All = Gzip | Brotli | Zstd
)

// Offers are the sets as the target is told them, always in this order, and identity for none.
var Offers = [All + 1]string{
	0:                    "identity",
	Gzip:                 "gzip",
	Brotli:               "br",
	Brotli | Gzip:        "br, gzip",
	Zstd:                 "zstd",
	Zstd | Gzip:          "zstd, gzip",
	Zstd | Brotli:        "zstd, br",
	Zstd | Brotli | Gzip: "zstd, br, gzip",
}

// Named returns the set of one coding; 0: the name is of none in the closed set.
func Named(name []byte) Set {
	switch {
	case header.SameName(name, "gzip"), header.SameName(name, "x-gzip"): // RFC 9110 section 8.4.1.3
		return Gzip
	case header.SameName(name, "br"):
		return Brotli
	case header.SameName(name, "zstd"):
		return Zstd
	}
	return 0
}

// Codings returns the codings that a request accepts. One that is named with a weight of 0, or with
// none that can be read, is not.
func Codings(x *edge.Exchange) Set {
	if !x.Req.Has("Accept-Encoding") {
		return 0
	}
	var room [256]byte
	return codingsIn(x.Req.AppendList(room[:0], "Accept-Encoding"))
}

func codingsIn(list []byte) (set Set) {
	var named, refused Set
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
		c := Named(name)
		named |= c
		if !wanted {
			refused |= c
		}
	}
	if set = named &^ refused; rest {
		set |= All &^ named
	}
	return set
}

// positive reports whether what stands behind the name of a coding is a weight greater than 0.
func positive(param []byte) bool {
	name, value, _ := bytes.Cut(param, []byte{'='})
	w, ok := weightOf(bytes.TrimSpace(value))
	return header.SameName(bytes.TrimSpace(name), "q") && ok && w > 0
}

// Coding is a content coding that the cache makes itself.
type Coding struct {
	Name   string
	Set    Set
	Encode func(dst, src []byte) []byte
}

// Made are those that can be configured. The levels take some 10 to 40 ms a megabyte.
var Made = []Coding{
	{"gzip", Gzip, func(dst, src []byte) []byte { return fasthttp.AppendGzipBytesLevel(dst, src, 6) }},
	{"br", Brotli, func(dst, src []byte) []byte { return fasthttp.AppendBrotliBytesLevel(dst, src, 5) }},
	{"zstd", Zstd, func(dst, src []byte) []byte {
		return fasthttp.AppendZstdBytesLevel(dst, src, fasthttp.CompressZstdDefault)
	}},
}
