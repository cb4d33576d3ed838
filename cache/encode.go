package cache

import (
	"bytes"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/store"
	"github.com/penstock-edge/penstock/edge"
)

// An answer without a content coding may get encoded forms beside it, each under its key and the coding's
// name. They are made when they are first wanted, and meanwhile the answer is served as it is. They are used
// while they are fresh, go on with the answer when a 304 confirms it, and are forgotten when it changes.

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

// wanted returns the first of the codings that are made here which a request accepts; nil: none.
func (c *Config) wanted(x *edge.Exchange, accepts codingSet) *coding {
	if accepts == 0 || len(c.coders) == 0 || x.Req.Has("Range") {
		return nil // parts are those of the answer as it is
	}
	for _, one := range c.coders {
		if accepts&one.set != 0 {
			return one
		}
	}
	return nil
}

// encodable tells that an answer with these fields gets encoded forms.
func (c *cache) encodable(d *description) bool {
	if len(c.conf.coders) == 0 || d.Status != 200 || d.encoded || d.NoTransform {
		return false
	}
	kind, _, _ := bytes.Cut(d.kind, semicolon)
	kind = bytes.ToLower(bytes.TrimSpace(kind))
	return slices.ContainsFunc(c.conf.CompressTypes, func(t string) bool {
		prefix, open := strings.CutSuffix(t, "*")
		suffix, ending := strings.CutPrefix(t, "*")
		switch {
		case open:
			return bytes.HasPrefix(kind, []byte(prefix))
		case ending:
			return bytes.HasSuffix(kind, []byte(suffix))
		}
		return string(kind) == t
	})
}

// appendCoded appends to a whole key what makes it that of an encoded form.
func appendCoded(key []byte, one *coding) []byte { return append(append(key, 3), one.name...) }

// findCoded looks for the encoded form that is wanted of what has the key in r. It leaves the key as it is.
func (c *cache) findCoded(r *record) bool {
	if r.coding == nil || !c.coded.Load() {
		return false
	}
	n := len(r.text)
	r.text = appendCoded(r.text, r.coding)
	r.k = c.hash(r.text)
	ok := c.get(r) && r.entry.flags&isPass == 0 && c.weigh(r) == fresh.Fresh
	if r.text, r.coded = r.text[:n], ok; !ok {
		r.age = -1
	}
	return ok
}

// forgetCoded forgets the encoded forms of what has a whole key.
func (c *cache) forgetCoded(text []byte) {
	if !c.coded.Load() {
		return
	}
	for i := range codings {
		c.store.Delete(c.hash(appendCoded(bytes.Clone(text), &codings[i])))
	}
}

// encode has the wanted form made of what was found, unless another one is being made.
func (c *cache) encode(r *record) {
	text := appendCoded(bytes.Clone(r.text), r.coding)
	k := c.hash(text)
	if r.object.Len < int64(c.conf.CompressMin) || c.store.Has(k) || !c.coding.CompareAndSwap(false, true) {
		return
	}
	c.coded.Store(true)
	plain, one := r.k, r.coding
	go func() {
		var f *edge.Fault // written to the log by Contain
		defer edge.Contain(&f)
		defer c.coding.Store(false)
		c.makeCoded(plain, k, text, one)
	}()
}

// leastGain is by how much an encoded form has to be smaller to be kept: an eighth.
const leastGain = 8

// makeCoded stores the encoded form, under k, of what is stored under plain.
func (c *cache) makeCoded(plain, k key, text []byte, one *coding) {
	o, _, ok := c.store.Get(plain, nil)
	if !ok {
		return
	}
	var e entry
	body, err := whole(&o)
	if err != nil || e.parse(o.Meta) != nil || e.flags&encodes == 0 {
		return
	}
	form := codedEntry(&e, text, one)
	out := one.encode(nil, body)
	if len(out) > len(body)-len(body)/leastGain {
		form.flags, out = isPass, nil // so that it is not tried again
	}
	meta := bytes.Clone(o.Meta)
	_, _ = c.store.Put(k, form.append(nil), [][]byte{out}, form.seconds()) // else it is made again
	// What it was made of may have been replaced, and its forms forgotten, before this one was there.
	if now, _, ok := c.store.Get(plain, nil); !ok || !bytes.Equal(now.Meta, meta) {
		c.store.Delete(k)
	}
}

// codedEntry returns the entry of an encoded form, whose whole key is text, of what has the entry e.
func codedEntry(e *entry, text []byte, one *coding) *entry {
	form := *e
	form.key, form.flags = text, e.flags&^encodes
	form.lines = codedLines(e.lines, one.name)
	form.etag = nil
	if tag, _ := takeField(nil, form.lines, "etag"); tag != nil {
		_, value, _ := bytes.Cut(tag, colon)
		form.etag = bytes.TrimSpace(value)
	}
	return &form
}

// renewCoded gives the encoded forms of what is found by plain the fields of e, which has taken the place of
// the entry that was stored as old, while the body is the same. meta is e as it is stored.
func (c *cache) renewCoded(plain key, old []byte, e *entry, meta []byte) {
	if !c.coded.Load() {
		return
	}
	var was entry
	if was.parse(old) != nil || e.flags&encodes == 0 { // it says now that it is not to be transformed
		c.forgetCoded(e.key)
		return
	}
	for i := range codings {
		text := appendCoded(bytes.Clone(e.key), &codings[i])
		k := c.hash(text)
		o, _, ok := c.store.Get(k, nil)
		if !ok {
			continue
		}
		before, form := codedEntry(&was, text, &codings[i]), codedEntry(e, text, &codings[i])
		if !bytes.Equal(o.Meta, before.append(nil)) {
			before.flags, form.flags = isPass, isPass
		}
		if !bytes.Equal(o.Meta, before.append(nil)) || // it was made of another answer
			c.store.Renew(k, &o, form.append(nil), form.seconds()) != nil {
			c.store.Delete(k)
		}
	}
	// Another answer may have taken its place, and its forms forgotten, before these were put back.
	if now, _, ok := c.store.GetMeta(plain, nil); !ok || !bytes.Equal(now.Meta, meta) {
		c.forgetCoded(e.key)
	}
}

// whole returns all of a body.
func whole(o *store.Object) (body []byte, err error) {
	if o.Whole() {
		return o.Body, nil
	}
	for at := int64(0); at < o.Len && err == nil; at = int64(len(body)) {
		body, err = o.ChunkAt(at, body)
	}
	return body, err
}

// codedLines returns the lines of an encoded form: what is about the bytes of the body is another, or gone.
func codedLines(lines []byte, name string) (out []byte) {
	for len(lines) > 0 {
		end := bytes.IndexByte(lines, '\n') + 1
		line := lines[:end]
		lines = lines[end:]
		field, value, _ := bytes.Cut(line, colon)
		switch {
		case is(field, "content-md5"), is(field, "digest"), is(field, "content-digest"), is(field, "repr-digest"):
			continue
		case is(field, "etag"):
			if value = bytes.TrimSpace(value); !bytes.HasPrefix(value, []byte("W/")) {
				out = append(append(append(out, "ETag: W/"...), value...), "\r\n"...)
				continue
			}
		}
		out = append(out, line...)
	}
	return append(append(append(out, "Content-Encoding: "...), name...), "\r\n"...)
}
