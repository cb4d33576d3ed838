package entry

import (
	"encoding/binary"
	"errors"
	"github.com/penstock-edge/penstock/cache/accept"
)

// Entry is what is stored of an answer besides its body. Times are milliseconds; those of the day are
// since 1970. Slices of one that was parsed point into what it was parsed from.
type Entry struct {
	At       int64 // when the answer was asked for
	Age      int64 // how old it would have been then
	Number   int64 // of the latest purge then
	Lifetime int64 // for how long it is fresh, its age included
	Revive   int64 // for how long after that it is used while it is fetched anew (stale-while-revalidate)
	Rescue   int64 // for how long after that it is used when that fails (stale-if-error)
	Modified int64 // Last-Modified; 0: none
	Date     int64 // Date; 0: none
	Status   int
	Flags    uint16
	Forms    accept.Forms // what it is among those with other codings; of a sign, what is known of them

	Key    []byte // the whole key, since hashes may meet
	ETag   []byte // as sent, quotes included; empty: none
	Hashes []byte // of its URL and its tags, eight bytes each
	Vary   []byte // names of the request's fields that it depends on, with a comma between them
	Search []byte // the rule for queries that it came with (fresh.QueryRule); empty: none
	Reason []byte
	Lines  []byte // its fields, each with CRLF behind it
}

// Flags of an entry.
const (
	MustRevalidate uint16 = 1 << iota // it is not used stale, whatever happens
	AlwaysAsk                         // no-cache: it is not used without asking
	_                                 // set in what is on disk
	IsSign                            // no answer: where answers differ by fields of the request, their names
	IsPass                            // no answer: what comes is not to be stored, for a while
	IsSearch                          // no answer: where answers have a rule for queries, that
	Encodes                           // it may have encoded forms beside it

	NotAnswer = IsSign | IsPass | IsSearch
)

const entryHead = 8*8 + 3*2 + 7*4

// Append appends the form that parse reads.
func (e *Entry) Append(dst []byte) []byte {
	le := binary.LittleEndian
	for _, n := range [...]int64{e.At, e.Age, e.Number, e.Lifetime, e.Revive, e.Rescue, e.Modified, e.Date} {
		dst = le.AppendUint64(dst, uint64(n))
	}
	dst = le.AppendUint16(dst, uint16(e.Status))
	dst = le.AppendUint16(dst, e.Flags)
	dst = le.AppendUint16(dst, uint16(e.Forms))
	parts := [...][]byte{e.Key, e.ETag, e.Hashes, e.Vary, e.Search, e.Reason, e.Lines}
	for _, p := range parts {
		dst = le.AppendUint32(dst, uint32(len(p)))
	}
	for _, p := range parts {
		dst = append(dst, p...)
	}
	return dst
}

var errEntry = errors.New("no entry of a cache")

// Parse reads an entry from b, which must not be changed as long as it is used.
func (e *Entry) Parse(b []byte) error {
	if len(b) < entryHead {
		return errEntry
	}
	le := binary.LittleEndian
	for i, n := range [...]*int64{&e.At, &e.Age, &e.Number, &e.Lifetime, &e.Revive, &e.Rescue, &e.Modified,
		&e.Date} {
		*n = int64(le.Uint64(b[8*i:]))
	}
	e.Status, e.Flags, e.Forms = int(le.Uint16(b[64:])), le.Uint16(b[66:]), accept.Forms(le.Uint16(b[68:]))
	rest := b[entryHead:]
	for i, p := range [...]*[]byte{&e.Key, &e.ETag, &e.Hashes, &e.Vary, &e.Search, &e.Reason, &e.Lines} {
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

// AgeAt returns how old the answer is, RFC 9111 section 4.2.3.
func (e *Entry) AgeAt(now int64) int64 { return e.Age + max(now-e.At, 0) }

// ForNobodyElse reports whether an answer of this kind is used by none but who has asked the target about it:
// it is never fresh, nor used stale while it is fetched.
func (e *Entry) ForNobodyElse() bool {
	return e.Flags&NotAnswer == 0 && (e.Flags&AlwaysAsk != 0 || e.Lifetime <= 0 && e.Revive <= 0)
}

// Strong reports whether it has a tag that stands for the same bytes of the body.
func (e *Entry) Strong() bool { return len(e.ETag) > 0 && e.ETag[0] == '"' }

// CanBePurged reports whether it is an answer as it came, with the hashes that purges find it by.
func (e *Entry) CanBePurged() bool { return e.Flags&NotAnswer == 0 && len(e.Hashes) >= 8 }

// keepFor is how much longer an answer is kept that can be asked about.
const keepFor = 3600

// Seconds returns for how long an entry is worth keeping.
func (e *Entry) Seconds() int {
	n := (e.Lifetime-e.Age+max(e.Revive, e.Rescue, 0))/1000 + 1
	if len(e.ETag) > 0 || e.Modified != 0 {
		n += keepFor
	}
	return int(min(n, 1<<30))
}
