package cache

// Where answers have content codings, or depend on Accept-Encoding, what is stored is told apart by what
// came back, not by what was accepted: each coding has a slot, and so has what is not encoded. A request
// is answered from any slot that is good for it: one of a coding that it accepts, or what is not encoded,
// once the target has answered so to an offer of all that the request accepts. So nobody is given a
// coding that he does not accept, and a client that accepts little does not decide for those that accept
// more.
//
// What fits into no slot, such as a coding that was not offered, has one for requests with the same offer
// alone. The note that an answer is not to be stored stands there too, where nothing else is known.

// forms are what is known of the slots of a key, or what an answer adds to that: a bit for each coding
// that came back, one for each offer that was answered without any, and, of an answer that fits into no
// slot, its offer.
type forms uint16

const (
	plainForms forms = 1 << 3 // shifted by an offer: it was answered without a coding
	ownForm    forms = 1 << 11
	knownForms       = ownForm - 1
	offerShift       = 12
)

// formOf returns what an answer with a coding is, given the offer that it answers; foreign tells that its
// coding is none of the closed set.
func formOf(coding codingSet, foreign bool, offer codingSet) forms {
	switch {
	case foreign || coding&^offer != 0:
		return ownForm | forms(offer)<<offerShift
	case coding == 0:
		return plainForms << offer
	}
	return forms(coding)
}

// Slots, as keys end with them.
const (
	plainSlot = 'p'
	noSlot    = '-'
)

// slot returns the slot of the coding in a set of one.
func (c codingSet) slot() byte { return 'a' + byte(c) }

// ownSlot returns the slot that is for one offer alone.
func (c codingSet) ownSlot() byte { return '0' + byte(c) }

// slotFor returns the slot of an answer, or noSlot when that is not for requests that accept a set.
func (f forms) slotFor(accepts codingSet) byte {
	switch {
	case f&ownForm != 0 && codingSet(f>>offerShift) == accepts:
		return accepts.ownSlot()
	case f&ownForm != 0:
		return noSlot
	}
	var room [4]byte
	if list := f.appendSlots(room[:0], accepts); len(list) > 0 {
		return list[0]
	}
	return noSlot
}

// slot returns the slot that an answer is stored in.
func (f forms) slot() byte {
	if f&ownForm != 0 {
		return codingSet(f >> offerShift).ownSlot()
	}
	if c := codingSet(f) & allCodings; c != 0 {
		return c.slot()
	}
	return plainSlot
}

// appendSlots appends the slots that requests which accept a set can be answered from.
func (f forms) appendSlots(dst []byte, accepts codingSet) []byte {
	for _, c := range [...]codingSet{withZstd, withBrotli, withGzip} {
		if codingSet(f)&accepts&c != 0 {
			dst = append(dst, c.slot())
		}
	}
	for offer := codingSet(0); offer <= allCodings; offer++ {
		if offer&accepts == accepts && f&(plainForms<<offer) != 0 {
			return append(dst, plainSlot)
		}
	}
	return dst
}
