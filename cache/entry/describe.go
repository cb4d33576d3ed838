package entry

import (
	"bytes"
	"slices"

	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// Description is what an answer says of itself.
type Description struct {
	fresh.Response
	reason, Lines []byte     // lines as they are stored
	Own           []byte     // as they are for the one who asked: with the fields that private and no-cache name
	encoded       bool       // it has a content coding
	Coding        accept.Set // that one; empty with foreign: it is none of the closed set, or there are several
	Foreign       bool
	kind          []byte
	ETag          []byte
	Vary          [][]byte // names of fields, in canonical form, in order
	Tags          [][]byte
	TooManyTags   bool   // it has more tags than are known
	Search        []byte // what No-Vary-Search says; empty: nothing

	general       fresh.Directives // of Cache-Control
	forUs, forCDN []byte           // the lines of the targeted fields; nil: none
	aged          bool             // there was an Age
}

// TargetedField is the field about freshness that is for this cache alone (RFC 9213).
const TargetedField = "Penstock-Cache-Control"

// Validates reports whether the target can be asked whether the answer still holds.
func (d *Description) Validates() bool { return len(d.ETag) > 0 || d.Modified != 0 }

// Describe reads the head of an answer. What it returns has copies of all that is kept.
func Describe(y *edge.Exchange) *Description {
	d := &Description{}
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
		name, value, _ := bytes.Cut(line, []byte{':'})
		if d.readLine(name, bytes.TrimSpace(value)) {
			kept = append(kept, line...)
		}
	}
	d.choose()
	if d.Search != nil {
		d.Search = rule(d.Search)
	}
	if d.encoded && !slices.ContainsFunc(d.Vary, accept.IsAcceptEncoding) {
		d.addVary([]byte("Accept-Encoding")) // a target that forgets to say so would serve it to all
		kept = append(kept, "Vary: Accept-Encoding\r\n"...)
	}
	d.Own = kept
	d.Lines = d.without(kept)
	return d
}

// readLine takes in a line of the head. It returns false when the line is not kept.
func (d *Description) readLine(name, value []byte) bool {
	switch {
	case header.SameName(name, "cache-control"):
		d.general.Add(value)
	case header.SameName(name, "cdn-cache-control"):
		d.forCDN = appendLine(d.forCDN, value)
	case header.SameName(name, "penstock-cache-control"):
		d.forUs = appendLine(d.forUs, value)
		return false // it is for us alone
	case header.SameName(name, "age"):
		if !d.aged { // RFC 9111 section 5.1: the first one counts
			first, _, _ := bytes.Cut(value, []byte{','})
			d.Age, d.aged = age(bytes.TrimSpace(first)), true
		}
		return false // it is written anew
	case header.SameName(name, "x-request-id"):
		return false // each request has its own
	case header.SameName(name, "set-cookie"):
		d.SetCookie = true
	case header.SameName(name, "date"):
		d.Date, _ = fresh.Date(value)
	case header.SameName(name, "expires"):
		d.expires(value)
	case header.SameName(name, "last-modified"):
		d.Modified, _ = fresh.Date(value)
	case header.SameName(name, "etag"):
		d.ETag = bytes.Clone(value)
	case header.SameName(name, "vary"):
		d.addVary(value)
	case header.SameName(name, "content-encoding"):
		d.readCoding(value)
	case header.SameName(name, "content-type"):
		d.kind = bytes.Clone(value)
	case header.SameName(name, "content-range"):
		d.Partial = true
	case header.SameName(name, "no-vary-search"):
		d.Search = appendLine(d.Search, value)
	case header.SameName(name, "surrogate-key"):
		d.addTags(bytes.Fields(value))
	case header.SameName(name, "cache-tag"):
		d.addTags(bytes.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }))
	}
	return true
}

// readCoding takes in a line of Content-Encoding.
func (d *Description) readCoding(value []byte) {
	if !header.SameName(value, "identity") && len(value) > 0 { // neither is a coding, and both are seen
		one := accept.Named(value)
		d.Foreign = d.Foreign || one == 0 || d.Coding != 0
		d.Coding |= one
	}
	d.encoded = true
}

// expires takes in a line of Expires. Of several the one counts that has passed first. The beginning of 1970
// and what was before have passed as what is no date has: 0 stands for none.
func (d *Description) expires(value []byte) {
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

// choose takes the directives of the field that is most about us (RFC 9213 section 2.2). What the general
// fields say does not count then.
func (d *Description) choose() {
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
func (d *Description) without(lines []byte) []byte {
	for _, lists := range [...][][]byte{d.PrivateFields[:], d.NoCacheFields[:]} {
		for _, list := range lists {
			for name := range bytes.SplitSeq(list, []byte{','}) {
				if name = bytes.ToLower(bytes.TrimSpace(name)); len(name) > 0 {
					lines = d.dropField(lines, string(name))
				}
			}
		}
	}
	return lines
}

// dropField takes out a field, with its name in lower case, that is not stored.
func (d *Description) dropField(lines []byte, name string) []byte {
	_, lines = CutField(nil, lines, name)
	if name == "set-cookie" {
		d.SetCookie = false
	}
	return lines
}

func (d *Description) addVary(value []byte) {
	for _, name := range bytes.Split(value, []byte{','}) {
		name = bytes.TrimSpace(name)
		switch {
		case len(name) == 1 && name[0] == '*':
			d.VaryAny = true
		case len(name) > 0:
			d.Vary = append(d.Vary, []byte(header.Canonical(string(name))))
		}
	}
	slices.SortFunc(d.Vary, bytes.Compare)
	d.Vary = slices.CompactFunc(d.Vary, bytes.Equal)
}

// mostTags bounds how many tags an answer may have that is stored: all of them have to be known.
const mostTags = 512

func (d *Description) addTags(tags [][]byte) {
	for _, t := range tags {
		if d.TooManyTags = d.TooManyTags || len(d.Tags) == mostTags; d.TooManyTags {
			return
		}
		d.Tags = append(d.Tags, bytes.Clone(t))
	}
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

// Selects reports whether a 304 with this description is about a stored answer (RFC 9111 section 4.3.4).
func (d *Description) Selects(old *Entry) bool {
	switch {
	case len(d.ETag) > 0 && d.ETag[0] == '"': // strong
		return bytes.Equal(d.ETag, old.ETag)
	case len(d.ETag) > 0 && len(old.ETag) > 0:
		return fresh.HasTag(old.ETag, d.ETag)
	case d.Modified != 0 && old.Modified != 0:
		return d.Modified == old.Modified
	}
	return true // there is only this one
}
