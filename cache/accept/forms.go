package accept

// Where answers have content codings, or depend on Accept-Encoding, what is stored is told apart by what
// came back, not by what was accepted: each coding has a slot, and so has what is not encoded. A request
// is answered from any slot that is good for it: one of a coding that it accepts, or what is not encoded,
// once the target has answered so to an offer of all that the request accepts. So nobody is given a
// coding that he does not accept, and a client that accepts little does not decide for those that accept
// more.
//
// What fits into no slot, such as a coding that was not offered, has one for requests with the same offer
// alone. The note that an answer is not to be stored stands there too, where nothing else is known.

// Forms are what is known of the slots of a key, or what an answer adds to that: a bit for each coding
// that came back, one for each offer that was answered without any, and, of an answer that fits into no
// slot, its offer.
type Forms uint16

// Bits of Forms; Known are those that a sign remembers.
const (
	plainForms Forms = 1 << 3 // shifted by an offer: it was answered without a coding
	ownForm    Forms = 1 << 11
	Known            = ownForm - 1
	offerShift       = 12
)

// FormOf returns what an answer with a coding is, given the offer that it answers; foreign reports whether
// its coding is none of the closed set.
func FormOf(coding Set, foreign bool, offer Set) Forms {
	switch {
	case foreign || coding&^offer != 0:
		return ownForm | Forms(offer)<<offerShift
	case coding == 0:
		return plainForms << offer
	}
	return Forms(coding)
}

// Slots, as keys end with them.
const (
	plainSlot = 'p'
	noSlot    = '-'
)

// slot returns the slot of the coding in a set of one.
func (c Set) slot() byte { return 'a' + byte(c) }

// OwnSlot returns the slot that is for one offer alone.
func (c Set) OwnSlot() byte { return '0' + byte(c) }

// SlotFor returns the slot of an answer, or noSlot when that is not for requests that accept a set.
func (f Forms) SlotFor(accepts Set) byte {
	switch {
	case f&ownForm != 0 && Set(f>>offerShift) == accepts:
		return accepts.OwnSlot()
	case f&ownForm != 0:
		return noSlot
	}
	var room [4]byte
	if list := f.AppendSlots(room[:0], accepts); len(list) > 0 {
		return list[0]
	}
	return noSlot
}

// Slot returns the slot that an answer is stored in.
func (f Forms) Slot() byte {
	if f&ownForm != 0 {
		return Set(f >> offerShift).OwnSlot()
	}
	if c := Set(f) & All; c != 0 {
		return c.slot()
	}
	return plainSlot
}

// AppendSlots appends the slots that requests which accept a set can be answered from.
func (f Forms) AppendSlots(dst []byte, accepts Set) []byte {
	for _, c := range [...]Set{Zstd, Brotli, Gzip} {
		if Set(f)&accepts&c != 0 {
			dst = append(dst, c.slot())
		}
	}
	for offer := Set(0); offer <= All; offer++ {
		if offer&accepts == accepts && f&(plainForms<<offer) != 0 {
			return append(dst, plainSlot)
		}
	}
	return dst
}
