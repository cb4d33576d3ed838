package balance

// noMember marks a slot of the hash table not yet taken.
const noMember = MaxTargets

// tableSize returns the number of slots for n members: a prime, at least 100 times n. The steps are
// few because passing one moves nearly every key: they lie at 656, 2,622 and 10,486 members.
func tableSize(n int) int {
	if n == 1 {
		return 1
	}
	for _, prime := range [...]int{65_537, 262_147, 1_048_583} {
		if prime >= 100*n {
			return prime
		}
	}
	return 6_553_577 // >= 100 * MaxTargets
}

// seat is one member's way through the slots it would like, most wanted first.
type seat struct {
	slot int
	step int
}

// maglevTable fills a lookup table as Maglev does (Eisenbud et al., NSDI 2016, section 3.4): every
// member has its own order of preference over all slots, and in turn takes the best still free. Heavier
// members have more turns. Slots hold positions in the group.
func maglevTable(w *wheel) []uint16 {
	table := make([]uint16, tableSize(len(w.group)))
	if len(table) == 1 {
		return table
	}
	for i := range table {
		table[i] = noMember
	}
	seats := make([]seat, len(w.group))
	for i := range seats {
		id := w.group[i].id
		seats[i] = seat{slot: below(mix(id), len(table)), step: 1 + below(mix(^id), len(table)-1)}
	}
	turn := 0
	for range table {
		i := w.turns[turn]
		table[seats[i].free(table)] = i
		turn++
		if turn == len(w.turns) {
			turn = 0
		}
	}
	return table
}

// free moves the seat to its best free slot. The size is prime, so that every step passes every slot.
func (s *seat) free(table []uint16) int {
	for table[s.slot] != noMember {
		s.slot += s.step
		if s.slot >= len(table) {
			s.slot -= len(table)
		}
	}
	return s.slot
}
