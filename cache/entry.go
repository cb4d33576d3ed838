package cache

import (
	"encoding/binary"
	"errors"
	"github.com/penstock-edge/penstock/cache/accept"
)

// entry is what is stored of an answer besides its body. Times are milliseconds; those of the day are
// since 1970. Slices of one that was parsed point into what it was parsed from.
type entry struct {
	at       int64 // when the answer was asked for
	age      int64 // how old it would have been then
	number   int64 // of the latest purge then
	lifetime int64 // for how long it is fresh, its age included
	revive   int64 // for how long after that it is used while it is fetched anew (stale-while-revalidate)
	rescue   int64 // for how long after that it is used when that fails (stale-if-error)
	modified int64 // Last-Modified; 0: none
	date     int64 // Date; 0: none
	status   int
	flags    uint16
	forms    accept.Forms // what it is among those with other codings; of a sign, what is known of them

	key    []byte // the whole key, since hashes may meet
	etag   []byte // as sent, quotes included; empty: none
	hashes []byte // of its URL and its tags, eight bytes each
	vary   []byte // names of the request's fields that it depends on, with a comma between them
	search []byte // the rule for queries that it came with (fresh.QueryRule); empty: none
	reason []byte
	lines  []byte // its fields, each with CRLF behind it
}

// Flags of an entry.
const (
	mustRevalidate uint16 = 1 << iota // it is not used stale, whatever happens
	alwaysAsk                         // no-cache: it is not used without asking
	_                                 // set in what is on disk
	isSign                            // no answer: where answers differ by fields of the request, their names
	isPass                            // no answer: what comes is not to be stored, for a while
	isSearch                          // no answer: where answers have a rule for queries, that
	encodes                           // it may have encoded forms beside it

	notAnswer = isSign | isPass | isSearch
)

const entryHead = 8*8 + 3*2 + 7*4

// append appends the form that parse reads.
func (e *entry) append(dst []byte) []byte {
	le := binary.LittleEndian
	for _, n := range [...]int64{e.at, e.age, e.number, e.lifetime, e.revive, e.rescue, e.modified, e.date} {
		dst = le.AppendUint64(dst, uint64(n))
	}
	dst = le.AppendUint16(dst, uint16(e.status))
	dst = le.AppendUint16(dst, e.flags)
	dst = le.AppendUint16(dst, uint16(e.forms))
	parts := [...][]byte{e.key, e.etag, e.hashes, e.vary, e.search, e.reason, e.lines}
	for _, p := range parts {
		dst = le.AppendUint32(dst, uint32(len(p)))
	}
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

var errEntry = errors.New("no entry of a cache")

// parse reads an entry from b, which must not be changed as long as it is used.
func (e *entry) parse(b []byte) error {
	if len(b) < entryHead {
		return errEntry
	}
	le := binary.LittleEndian
	for i, n := range [...]*int64{&e.at, &e.age, &e.number, &e.lifetime, &e.revive, &e.rescue, &e.modified,
		&e.date} {
		*n = int64(le.Uint64(b[8*i:]))
	}
	e.status, e.flags, e.forms = int(le.Uint16(b[64:])), le.Uint16(b[66:]), accept.Forms(le.Uint16(b[68:]))
	rest := b[entryHead:]
	for i, p := range [...]*[]byte{&e.key, &e.etag, &e.hashes, &e.vary, &e.search, &e.reason, &e.lines} {
		n := uint64(le.Uint32(b[70+4*i:]))
		if n > uint64(len(rest)) {
			return errEntry
		}
		*p, rest = rest[:n:n], rest[n:]
	}
	if len(rest) > 0 {
		return errEntry
	}
	return nil
}

// ageAt returns how old the answer is, RFC 9111 section 4.2.3.
func (e *entry) ageAt(now int64) int64 { return e.age + max(now-e.at, 0) }

// forNobodyElse reports whether an answer of this kind is used by none but who has asked the target about it:
// it is never fresh, nor used stale while it is fetched.
func (e *entry) forNobodyElse() bool {
	return e.flags&notAnswer == 0 && (e.flags&alwaysAsk != 0 || e.lifetime <= 0 && e.revive <= 0)
}

// strong reports whether it has a tag that says that each byte of the body is the same.
func (e *entry) strong() bool { return len(e.etag) > 0 && e.etag[0] == '"' }

// canBePurged reports whether it is an answer as it came, with the hashes that purges find it by.
func (e *entry) canBePurged() bool { return e.flags&notAnswer == 0 && len(e.hashes) >= 8 }

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
