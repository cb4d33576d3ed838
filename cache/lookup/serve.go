package lookup

import (
	"bytes"
	"strconv"

	"github.com/penstock-edge/penstock/cache/chunks"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/chance"
)

// serve makes what was found the answer: all of it, a part, or that the client has it.
func (c *Cache) serve(x *edge.Exchange, r *record, as outcome.Status) edge.Verdict {
	e, o := &r.entry, &r.object
	r.status, r.ttl = as, e.Lifetime-r.age
	if c.unmodified(x, r, e) {
		return edge.Answered
	}
	if r.coding != nil && e.Flags&entry.Encodes != 0 && as == outcome.Hit && o.Len >= int64(c.Conf.CompressMin) {
		c.Encode(r.Key, r.Text, r.coding)
	}
	x.SetHead(e.Status, e.Reason, e.Lines)
	x.OutLen, x.Out = o.Len, nil
	if spans, ok := r.asked(x, e, o.Len); ok {
		return c.serveParts(x, r, spans)
	}
	if o.Len > 0 && string(x.Method) != "HEAD" {
		x.Out = c.bodyOf(x, r, 0, o.Len)
	}
	return edge.Answered
}

// source returns where the body that was found comes from.
func (c *Cache) source(x *edge.Exchange, r *record) chunks.Source {
	return chunks.Source{Tier: c.Tier, Rules: c.Rules, X: x, Object: &r.object, Entry: &r.entry,
		InParts: !r.coded && !r.Keyed}
}

// bodyOf returns a part of the body that was found.
func (c *Cache) bodyOf(x *edge.Exchange, r *record, from, to int64) edge.Body {
	if r.object.Whole() {
		r.whole = *edge.NewBytesBody(r.object.Body[from:to])
		return &r.whole
	}
	r.chunks.Reset(c.source(x, r), from, to)
	return &r.chunks
}

// clientHas reports whether the client has an answer already.
func clientHas(x *edge.Exchange, e *entry.Entry) bool {
	none := x.Req.Has("If-None-Match")
	if !none && !x.Req.Has("If-Modified-Since") || e.Status != 200 || string(x.Method) == "POST" {
		return false
	}
	if none {
		for line := range x.Req.All("If-None-Match") { // RFC 9110 section 5.3: they are one list
			if fresh.HasTag(line, e.ETag) {
				return true
			}
		}
		return false
	}
	modified := e.Modified
	if modified == 0 {
		modified = e.Date // RFC 9111 section 4.3.2
	}
	return fresh.NotModified(nil, x.Req.Only("If-Modified-Since"), nil, modified)
}

// unmodified answers 304 when the client has the answer already.
func (c *Cache) unmodified(x *edge.Exchange, r *record, e *entry.Entry) bool {
	if !clientHas(x, e) {
		return false
	}
	r.spare = entry.AppendNotModified(r.spare[:0], e.Lines)
	x.SetHead(304, nil, r.spare)
	x.Out, x.OutLen = nil, 0
	return true
}

// asked returns the parts of the body that the request asks for; false: it asks for all of it.
func (r *record) asked(x *edge.Exchange, e *entry.Entry, length int64) ([]fresh.Span, bool) {
	field, condition := x.Req.Only("Range"), x.Req.Only("If-Range")
	if len(field) == 0 || e.Status != 200 || string(x.Method) != "GET" {
		return nil, false
	}
	if condition == nil && x.Req.Has("If-Range") {
		return nil, false // which one is meant cannot be told
	}
	if !fresh.RangeHolds(condition, e.ETag, e.Modified, e.At-e.Age) {
		return nil, false
	}
	spans, ok := fresh.Ranges(field, length, r.spans[:0])
	if len(spans) > 1 && !r.object.Whole() {
		return nil, false // many parts of what is not in one piece: the whole is simpler, and allowed
	}
	return spans, ok
}

// serveParts answers 206 or 416 in place of the 200 that stands in the head.
func (c *Cache) serveParts(x *edge.Exchange, r *record, spans []fresh.Span) edge.Verdict {
	e, length := &r.entry, r.object.Len
	switch len(spans) {
	case 0:
		r.serveNoPart(x, length)
	case 1:
		r.servePart(x, e, spans[0], length)
		x.Out = c.bodyOf(x, r, spans[0].From, spans[0].To)
	default:
		c.serveMultipart(x, r, spans)
	}
	return edge.Answered
}

// serveNoPart answers 416: the body has nothing of what was asked for.
func (r *record) serveNoPart(x *edge.Exchange, length int64) {
	x.SetHead(416, nil, nil)
	r.spare = strconv.AppendInt(append(r.spare[:0], "bytes */"...), length, 10)
	x.Resp.AddBytes("Content-Range", r.spare)
	x.OutLen = 0
}

// servePart sets the head of an answer with one part.
func (r *record) servePart(x *edge.Exchange, e *entry.Entry, s fresh.Span, length int64) {
	x.SetHead(206, nil, e.Lines)
	r.spare = entry.AppendContentRange(r.spare[:0], s, length)
	x.Resp.AddBytes("Content-Range", r.spare)
	x.OutLen = s.To - s.From
}

// serveMultipart answers with several parts of a body that is in memory (RFC 9110 section 15.3.7.2).
func (c *Cache) serveMultipart(x *edge.Exchange, r *record, spans []fresh.Span) {
	e := &r.entry
	boundary := chance.Text()
	kind, rest := entry.CutField(r.spare[:0], e.Lines, "content-type")
	kind = bytes.Clone(kind)
	var out []byte
	for _, s := range spans {
		out = append(append(append(out, "--"...), boundary...), "\r\n"...)
		out = append(out, kind...)
		out = append(entry.AppendContentRange(append(out, "Content-Range: "...), s, r.object.Len), "\r\n\r\n"...)
		out = append(append(out, r.object.Body[s.From:s.To]...), "\r\n"...)
	}
	out = append(append(append(out, "--"...), boundary...), "--\r\n"...)
	x.SetHead(206, nil, rest)
	x.Resp.AddBytes("Content-Type", append([]byte("multipart/byteranges; boundary="), boundary...))
	r.whole = *edge.NewBytesBody(out)
	x.Out, x.OutLen = &r.whole, int64(len(out))
}
