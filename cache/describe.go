package cache

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// description is what an answer says of itself.
type description struct {
	fresh.Response
	reason, lines []byte    // lines as they are stored
	own           []byte    // as they are for the one who asked: with the fields that private and no-cache name
	encoded       bool      // it has a content coding
	coding        codingSet // that one; empty with foreign: it is none of the closed set, or there are several
	foreign       bool
	kind          []byte
	etag          []byte
	vary          [][]byte // names of fields, in canonical form, in order
	tags          [][]byte
	crowded       bool   // it has more tags than are known
	search        []byte // what No-Vary-Search says; empty: nothing

	general       fresh.Directives // of Cache-Control
	forUs, forCDN []byte           // the lines of the targeted fields; nil: none
	aged          bool             // there was an Age
}

func (d *description) validates() bool { return len(d.etag) > 0 || d.Modified != 0 }

// describe reads the head of an answer. What it returns has copies of all that is kept.
func describe(y *edge.Exchange) *description {
	d := &description{}
	d.Reset()
	d.Status = y.Status()
	lines := y.Resp.Lines()
	d.reason = bytes.Clone(y.Reason())
	d.general.Reset()
	kept := make([]byte, 0, len(lines))
	for rest := lines; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		line := rest[:end]
		rest = rest[end:]
		name, value, _ := bytes.Cut(line, colon)
		if d.take(name, bytes.TrimSpace(value)) {
			kept = append(kept, line...)
		}
	}
	d.choose()
	d.search = rule(d.search)
	if d.encoded && !slices.ContainsFunc(d.vary, isAcceptEncoding) {
		d.addVary(acceptEncodingKey) // a target that forgets to say so would serve it to all
		kept = append(kept, "Vary: Accept-Encoding\r\n"...)
	}
	d.own = kept
	d.lines = d.without(kept)
	return d
}

// take takes in a line of the head. It returns false when the line is not kept.
func (d *description) take(name, value []byte) bool {
	switch {
	case is(name, "cache-control"):
		d.general.Add(value)
	case is(name, "cdn-cache-control"):
		d.forCDN = appendLine(d.forCDN, value)
	case is(name, "penstock-cache-control"):
		d.forUs = appendLine(d.forUs, value)
		return false // it is for us alone
	case is(name, "age"):
		if !d.aged { // RFC 9111 section 5.1: the first one counts
			first, _, _ := bytes.Cut(value, comma)
			d.Age, d.aged = age(bytes.TrimSpace(first)), true
		}
		return false // it is written anew
	case is(name, "x-request-id"):
		return false // each request has its own
	case is(name, "set-cookie"):
		d.SetCookie = true
	case is(name, "date"):
		d.Date, _ = fresh.Date(value)
	case is(name, "expires"):
		d.expires(value)
	case is(name, "last-modified"):
		d.Modified, _ = fresh.Date(value)
	case is(name, "etag"):
		d.etag = bytes.Clone(value)
	case is(name, "vary"):
		d.addVary(value)
	case is(name, "content-encoding"):
		d.takeCoding(value)
	case is(name, "content-type"):
		d.kind = bytes.Clone(value)
	case is(name, "content-range"):
		d.Partial = true
	case is(name, "no-vary-search"):
		d.search = appendLine(d.search, value)
	case is(name, "surrogate-key"):
		d.addTags(bytes.Fields(value))
	case is(name, "cache-tag"):
		d.addTags(bytes.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }))
	}
	return true
}

// takeCoding takes in a line of Content-Encoding.
func (d *description) takeCoding(value []byte) {
	if !is(value, "identity") && len(value) > 0 { // neither is a coding, and both are seen
		one := codingNamed(value)
		d.foreign = d.foreign || one == 0 || d.coding != 0
		d.coding |= one
	}
	d.encoded = true
}

// expires takes in a line of Expires. Of several the one counts that has passed first. The beginning of 1970
// and what was before have passed as what is no date has: 0 stands for none.
func (d *description) expires(value []byte) {
	at, ok := fresh.Date(value)
	ok = ok && at > 0
	d.ExpiresBad = d.ExpiresBad || !ok
	if ok && (d.Expires == 0 || at < d.Expires) {
		d.Expires = at
	}
}

// appendLine appends a line of a field to those before it.
func appendLine(lines, value []byte) []byte {
	if lines == nil {
		return append([]byte{}, value...)
	}
	return append(append(lines, ','), value...)
}

// rule returns the rule that No-Vary-Search has, as it is stored.
func rule(value []byte) []byte {
	q, ok := fresh.ParseNoVarySearch(string(value))
	if !ok || q.Default() {
		return nil
	}
	return q.Append(nil)
}

func isAcceptEncoding(name []byte) bool { return bytes.Equal(name, acceptEncodingKey) }

// choose takes the directives of the field that is most about us (RFC 9213 section 2.2). What the general
// fields say does not count then.
func (d *description) choose() {
	for _, field := range [][]byte{d.forUs, d.forCDN} {
		var targeted fresh.Directives
		targeted.Reset()
		if field != nil && targeted.AddTargeted(string(field)) {
			d.Directives = targeted
			d.Expires, d.ExpiresBad = 0, false
			return
		}
	}
	d.Directives = d.general
}

// without takes out the fields that private and no-cache name (RFC 9111 sections 5.2.2.4 and 5.2.2.7).
func (d *description) without(lines []byte) []byte {
	for _, list := range slices.Concat(d.PrivateFields[:], d.NoCacheFields[:]) {
		for _, name := range bytes.Split(list, comma) {
			if name = bytes.ToLower(bytes.TrimSpace(name)); len(name) > 0 {
				_, lines = takeField(nil, lines, string(name))
				if string(name) == "set-cookie" {
					d.SetCookie = false // it is not stored
				}
			}
		}
	}
	return lines
}

// describe reads the head of an answer, and changes in it what override says. auth reports whether the
// request had Authorization: nothing is changed then.
func (c *cache) describe(y *edge.Exchange, auth bool) *description {
	d := describe(y)
	if d.Authorization = auth; c.conf.Override.SetCookie == "strip" && !auth {
		_, d.lines = takeField(nil, d.lines, "set-cookie")
		_, d.lines = takeField(nil, d.lines, "set-cookie2")
		d.SetCookie = false // it is not stored
	}
	return d
}

func (d *description) addVary(value []byte) {
	for _, name := range bytes.Split(value, comma) {
		name = bytes.TrimSpace(name)
		switch {
		case len(name) == 1 && name[0] == '*':
			d.VaryAny = true
		case len(name) > 0:
			d.vary = append(d.vary, []byte(header.Canonical(string(name))))
		}
	}
	slices.SortFunc(d.vary, bytes.Compare)
	d.vary = slices.CompactFunc(d.vary, bytes.Equal)
}

// mostTags bounds how many tags an answer may have that is stored: all of them have to be known.
const mostTags = 512

func (d *description) addTags(tags [][]byte) {
	for _, t := range tags {
		if d.crowded = d.crowded || len(d.tags) == mostTags; d.crowded {
			return
		}
		d.tags = append(d.tags, bytes.Clone(t))
	}
}

// entryOf returns what is stored of an answer for which these options hold. It lacks key and hashes.
func (c *cache) entryOf(d *description, o *fresh.Options) *entry {
	e := &entry{at: d.Asked, age: max(d.InitialAge()-max(d.Came-d.Asked, 0), 0), status: d.Status,
		modified: d.Modified, date: d.Date, etag: d.etag, reason: d.reason, lines: d.lines, search: d.search}
	e.lifetime, _ = d.Lifetime(o)
	e.revive, e.rescue = d.Stale(o)
	e.vary = bytes.Join(c.conf.omitter.varying(d.vary), comma)
	if d.Strict() {
		e.flags |= mustRevalidate
	}
	if d.MustRevalidate || d.ProxyRevalidate {
		e.rescue, e.revive = 0, 0
	}
	if d.NoCache {
		e.flags |= alwaysAsk
	}
	if c.encodable(d) {
		e.flags |= encodes
		if !slices.ContainsFunc(d.vary, isAcceptEncoding) { // else the line is there
			e.lines = append(bytes.Clone(e.lines), "Vary: Accept-Encoding\r\n"...)
		}
	}
	return e
}

// keepFor is how much longer an answer is kept that can be asked about.
const keepFor = 3600

// seconds returns for how long an entry is worth keeping.
func (e *entry) seconds() int {
	n := (e.lifetime-e.age+max(e.revive, e.rescue, 0))/1000 + 1
	if len(e.etag) > 0 || e.modified != 0 {
		n += keepFor
	}
	return int(min(n, 1<<30))
}

// age reads an Age field; what is none counts as 0.
func age(b []byte) (n int64) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0
		}
		n = min(n*10+int64(c-'0'), 1<<31)
	}
	return n
}

// appendHashes appends the hashes of a URL and of tags, by which purges find them.
func (c *cache) appendHashes(dst, url []byte, tags [][]byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, hashURL(url))
	for _, t := range tags {
		dst = binary.LittleEndian.AppendUint64(dst, hashTag(t))
	}
	return dst
}

func hashURL(url []byte) uint64 { return xxh3.HashSeed(url, 1) }
func hashTag(tag []byte) uint64 { return xxh3.HashSeed(tag, 2) }

// renew makes what is stored fresh again, after the target said that nothing has changed (RFC 9111
// section 4.3.4). It returns false when what the target speaks of is not what is stored.
func (t *fetching) renew() bool {
	y, c, old, f := t.y, t.c, t.old, t.flight
	d := c.describe(y, t.auth)
	if !d.selects(old) || c.moves(d, old) {
		return false
	}
	o, _, ok := c.store.Get(t.k, nil)
	if !ok || !o.Complete() || o.Number() != t.number {
		return false
	}
	merged := merge(old.lines, d.lines)
	y.SetHead(old.status, old.reason, merged)
	full := c.describe(y, t.auth)
	full.Asked, full.Came, full.Age = t.asked, c.millis(c.tick()), d.Age
	why := full.Storable(t.opts, true)
	switch {
	case full.crowded:
		t.own, f.why = full.own, tooManyTags
	case why == fresh.Storable:
		e := c.entryOf(full, t.opts)
		e.key, e.vary, e.search, e.forms = old.key, old.vary, old.search, old.forms
		e.number, e.hashes = t.purges, c.appendHashes(nil, t.url, full.tags)
		c.renewLatest(t.k, t.number, e)
		f.usesOld, f.number, f.age = true, t.number, d.Age*1000
	default:
		t.own, f.why = full.own, notStorable+reason(why) // it was confirmed for who asked, and for nobody else
	}
	f.as, f.upside = revalidated, 304
	t.open(true)
	y.Finish(nil)
	return true
}

// moves reports whether a 304 says that the answer belongs under another key than the one it is stored under:
// by Vary it depends on other fields of the request, or it comes with another rule for queries. What is
// stored is not known to be for the same requests then.
func (c *cache) moves(d *description, old *entry) bool {
	names := func(list [][]byte) []byte {
		return bytes.Join(slices.DeleteFunc(slices.Clone(list), isAcceptEncoding), comma)
	}
	return len(d.vary) > 0 &&
		!bytes.Equal(names(c.conf.omitter.varying(d.vary)), names(bytes.Split(old.vary, comma))) ||
		len(d.search) > 0 && !bytes.Equal(d.search, old.search)
}

// selects tells that a 304 with this description is about a stored answer (RFC 9111 section 4.3.4).
func (d *description) selects(old *entry) bool {
	switch {
	case len(d.etag) > 0 && d.etag[0] == '"': // strong
		return bytes.Equal(d.etag, old.etag)
	case len(d.etag) > 0 && len(old.etag) > 0:
		return fresh.HasTag(old.etag, d.etag)
	case d.Modified != 0 && old.modified != 0:
		return d.Modified == old.modified
	}
	return true // there is only this one
}

// merge replaces lines by those of a 304, but what is about the bytes of the body stays (RFC 9111 section
// 3.2).
func merge(old, lines []byte) []byte {
	out := bytes.Clone(old)
	var added []byte
	for rest := lines; len(rest) > 0; {
		end := bytes.IndexByte(rest, '\n') + 1
		line := rest[:end]
		rest = rest[end:]
		name, _, _ := bytes.Cut(line, colon)
		switch name = bytes.ToLower(name); string(name) {
		case "content-length", "content-encoding", "content-range":
		default:
			_, out = takeField(nil, out, string(name))
			added = append(added, line...)
		}
	}
	return append(out, added...)
}
