package records

import (
	"bytes"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/purge"
	"github.com/penstock-edge/penstock/cache/store"
	"sync"
	"time"
)

// Keep stores an entry that is found by k and its body. On disk first: promote relies on it. It returns what
// is in memory; nil: it does not fit there, and what is on disk alone would never be read.
func (r *Records) Keep(k store.Key, e *entry.Entry, body [][]byte) *store.Object {
	meta, n := e.Append(nil), e.Seconds()
	r.Store.At(r.until(0))
	if t := r.Tier; t != nil {
		t.Put(e.Key, meta, body, r.until(n))
	}
	o, err := r.Store.Put(k, meta, body, n)
	if err != nil {
		if t := r.Tier; t != nil {
			t.Delete(e.Key)
		}
		return nil
	}
	r.list(k, e)
	r.forgetCoded(e.Key)
	return &o
}

// KeepLatest is keep for an answer. One that was asked for earlier does not take the place of one that was
// asked for later: what a slow fetch brings is old. fits is false when there is no room for it at all.
func (r *Records) KeepLatest(k store.Key, e *entry.Entry, body [][]byte) (o *store.Object, fits bool) {
	lock := r.writing.of(k)
	lock.Lock()
	defer lock.Unlock()
	if now := r.peek(k, e.Key); now != nil && now.Flags&entry.NotAnswer == 0 && now.At > e.At {
		return nil, true
	}
	o = r.Keep(k, e, body)
	return o, o != nil
}

// RenewLatest is renewKept under the same condition, for the body with a number: what is stored of it may
// have been renewed by others since.
func (r *Records) RenewLatest(k store.Key, number uint64, e *entry.Entry) {
	lock := r.writing.of(k)
	lock.Lock()
	defer lock.Unlock()
	o, _, ok := r.Store.Get(k, nil)
	var now entry.Entry
	if ok && o.Number() == number && now.Parse(o.Meta) == nil && now.At <= e.At {
		r.renewKept(k, &o, e)
	}
}

// writing are the locks under which answers are compared with what is stored, and stored; each is that of
// many keys. Nobody waits for anything under one.
type writing [64]sync.Mutex

func (w *writing) of(k store.Key) *sync.Mutex { return &w[k[0]%byte(len(w))] }

// peek returns what is stored under a whole key, which is found by k, without its body; nil: nothing.
func (r *Records) peek(k store.Key, text []byte) *entry.Entry {
	o, _, ok := r.Store.GetMeta(k, nil)
	e := new(entry.Entry)
	if !ok || e.Parse(o.Meta) != nil || !bytes.Equal(e.Key, text) {
		return nil
	}
	return e
}

// HoldsFresh reports whether what is stored under a whole key may be used without asking, or leads to such.
func (r *Records) HoldsFresh(k store.Key, text []byte) bool {
	return r.holds(k, text, func(e *entry.Entry, age int64) bool { return age < e.Lifetime })
}

// HoldsUseful reports whether what is stored under a whole key is of any use: fresh, stale and still served,
// to be asked about each time, or what leads to other answers.
func (r *Records) HoldsUseful(k store.Key, text []byte) bool {
	return r.holds(k, text, func(e *entry.Entry, age int64) bool {
		return e.Flags&entry.AlwaysAsk != 0 || age < e.Lifetime+max(e.Revive, e.Rescue, 0)
	})
}

func (r *Records) holds(k store.Key, text []byte, use func(e *entry.Entry, age int64) bool) bool {
	e := r.peek(k, text)
	if e == nil || e.Flags&entry.IsPass != 0 {
		return false
	}
	now := r.Now()
	return e.Flags&(entry.IsSign|entry.IsSearch) != 0 ||
		use(e, e.AgeAt(now)) && r.Purges.Judge(e.Number, nil, e.Hashes, now) != purge.Purged
}

// until returns the time n seconds from now in seconds since 1970.
func (r *Records) until(n int) int64 { return r.Now()/1000 + int64(n) }

// Forget forgets what is stored under a whole key, which is found by k.
func (r *Records) Forget(k store.Key, text []byte) {
	if t := r.Tier; t != nil {
		t.Delete(text)
	}
	r.Store.Delete(k)
	r.forgetCoded(text)
}

// Promote reads what is stored under a whole key, which is found by k, from disk into memory. It returns
// false when it is not there.
func (r *Records) Promote(k store.Key, text []byte) bool {
	t := r.Tier
	o := t.Get(text)
	if o == nil {
		return false
	}
	var e entry.Entry
	left := o.Until - r.until(0)
	if e.Parse(o.Meta) != nil || !bytes.Equal(e.Key, text) || left <= 0 {
		return false
	}
	if _, err := r.Store.Put(k, o.Meta, [][]byte{o.Body}, int(min(left, 1<<30))); err != nil {
		return false
	}
	if !t.Current(text, o) {
		r.Store.Delete(k) // it was replaced meanwhile, here as well maybe
		return false
	}
	return true
}

// renewKept gives what is stored as o another meta.
func (r *Records) renewKept(k store.Key, o *store.Object, e *entry.Entry) {
	meta, n := e.Append(nil), e.Seconds()
	if t := r.Tier; t != nil {
		t.Renew(e.Key, o.Meta, meta, r.until(n))
	}
	r.list(k, e)
	if r.Store.Renew(k, o, meta, n) != nil { // it stays as it was, and is asked about again
		r.forgetCoded(e.Key)
		return
	}
	r.renewCoded(k, o.Meta, e, meta)
}

// RememberPass remembers that what has a whole key, and was asked for at a time, is not to be stored, unless
// something of use is.
func (r *Records) RememberPass(k store.Key, text []byte, at int64) {
	if r.HoldsUseful(k, text) {
		return
	}
	e := entry.Entry{At: at, Lifetime: PassFor.Milliseconds(), Flags: entry.IsPass, Key: text}
	r.Forget(k, text)
	_, _ = r.Store.Put(k, e.Append(nil), nil, e.Seconds()) // else the next one finds out again
}

// PassFor is how long it is remembered that an answer was not to be stored.
const PassFor = 30 * time.Second

// VariesBy returns the fields that answers under a key depend on so far. One without Vary is for the requests
// that have the same of them, so that it does not come before one that is more about a request (RFC 9111
// section 4.1).
func (r *Records) VariesBy(text []byte) []byte {
	o, _, ok := r.Store.GetMeta(r.Hash(text), nil)
	var e entry.Entry
	if !ok || e.Parse(o.Meta) != nil || e.Flags&entry.IsSign == 0 || !bytes.Equal(e.Key, text) {
		return nil
	}
	return e.Vary
}

// PutUp stores a sign. One by which answers differ keeps what is known of their codings.
func (r *Records) PutUp(sign *entry.Entry) {
	sign.Lifetime = signFor.Milliseconds()
	k := r.Hash(sign.Key)
	lock := r.writing.of(k)
	lock.Lock()
	defer lock.Unlock()
	var had entry.Entry
	if o, _, ok := r.Store.GetMeta(k, nil); ok && had.Parse(o.Meta) == nil && had.Flags&entry.IsSign != 0 &&
		bytes.Equal(had.Key, sign.Key) && bytes.Equal(had.Vary, sign.Vary) {
		sign.Forms |= had.Forms
	}
	r.Keep(k, sign, nil)
}

// signFor is how long it is remembered which fields a URL's answers depend on.
const signFor = 7 * 24 * time.Hour
