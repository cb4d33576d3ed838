package records

import (
	"bytes"

	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/store"
	"github.com/penstock-edge/penstock/edge"
)

// An answer without a content coding may get encoded forms beside it, each under its key and the coding's
// name. They are made when they are first wanted, and meanwhile the answer is served as it is. They are used
// while they are fresh, go on with the answer when a 304 confirms it, and are forgotten when it changes.

// forgetCoded forgets the encoded forms of what has a whole key.
func (r *Records) forgetCoded(text []byte) {
	if !r.Coded.Load() {
		return
	}
	for i := range accept.Made {
		r.Store.Delete(r.Hash(entry.AppendCodedKey(bytes.Clone(text), &accept.Made[i])))
	}
}

// Encode begins to make an encoded form of what has a whole key, and is found by plain, unless one is being
// made.
func (r *Records) Encode(plain store.Key, text []byte, one *accept.Coding) {
	text = entry.AppendCodedKey(bytes.Clone(text), one)
	k := r.Hash(text)
	if r.Store.Has(k) || !r.coding.CompareAndSwap(false, true) {
		return
	}
	r.Coded.Store(true)
	go func() {
		var f *edge.Fault // written to the log by Contain
		defer edge.Contain(&f)
		defer r.coding.Store(false)
		r.makeCoded(plain, k, text, one)
	}()
}

// leastGain is by how much an encoded form has to be smaller to be kept: an eighth.
const leastGain = 8

// makeCoded stores the encoded form, under k, of what is stored under plain.
func (r *Records) makeCoded(plain, k store.Key, text []byte, one *accept.Coding) {
	o, _, ok := r.Store.Get(plain, nil)
	if !ok {
		return
	}
	var e entry.Entry
	body, err := whole(&o)
	if err != nil || e.Parse(o.Meta) != nil || e.Flags&entry.Encodes == 0 {
		return
	}
	form := entry.Coded(&e, text, one)
	out := one.Encode(nil, body)
	if len(out) > len(body)-len(body)/leastGain {
		form.Flags, out = entry.IsPass, nil // so that it is not tried again
	}
	meta := bytes.Clone(o.Meta)
	_, _ = r.Store.Put(k, form.Append(nil), [][]byte{out}, form.Seconds()) // else it is made again
	// What it was made of may have been replaced, and its forms forgotten, before this one was there.
	if now, _, ok := r.Store.Get(plain, nil); !ok || !bytes.Equal(now.Meta, meta) {
		r.Store.Delete(k)
	}
}

// renewCoded gives the encoded forms of what is found by plain the fields of e, which has taken the place of
// the entry that was stored as old, while the body is the same. meta is e as it is stored.
func (r *Records) renewCoded(plain store.Key, old []byte, e *entry.Entry, meta []byte) {
	if !r.Coded.Load() {
		return
	}
	var was entry.Entry
	if was.Parse(old) != nil || e.Flags&entry.Encodes == 0 { // it says now that it is not to be transformed
		r.forgetCoded(e.Key)
		return
	}
	for i := range accept.Made {
		text := entry.AppendCodedKey(bytes.Clone(e.Key), &accept.Made[i])
		k := r.Hash(text)
		o, _, ok := r.Store.Get(k, nil)
		if !ok {
			continue
		}
		before, form := entry.Coded(&was, text, &accept.Made[i]), entry.Coded(e, text, &accept.Made[i])
		if !bytes.Equal(o.Meta, before.Append(nil)) {
			before.Flags, form.Flags = entry.IsPass, entry.IsPass
		}
		if !bytes.Equal(o.Meta, before.Append(nil)) || // it was made of another answer
			r.Store.Renew(k, &o, form.Append(nil), form.Seconds()) != nil {
			r.Store.Delete(k)
		}
	}
	// Another answer may have taken its place, and its forms forgotten, before these were put back.
	if now, _, ok := r.Store.GetMeta(plain, nil); !ok || !bytes.Equal(now.Meta, meta) {
		r.forgetCoded(e.Key)
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
