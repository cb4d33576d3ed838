package edge

import "github.com/penstock-edge/penstock/edge/config"

// Memory is a bound of what the process may use, and what the configuration takes of it for good.
type Memory struct {
	Bytes int64
	Where string // it comes from, for people

	taken int64
	over  bool // that was recorded
}

// OwnMemory is what the process needs besides caches and tables, in bytes: its code, stacks and some
// connections.
const OwnMemory = 24 << 20

// Takes reports whether the process can have so many bytes for what the key of t asks for, beside what it
// takes already. Where it cannot, that is recorded, with the numbers.
func (h *Host) Takes(t *config.Table, key string, bytes int64) bool {
	m := &h.Memory
	m.taken += bytes
	if m.Bytes == 0 || m.taken+OwnMemory <= m.Bytes {
		return true
	}
	if m.over {
		return false // one mistake
	}
	m.over = true
	t.Errorf(key, "caches and tables take %s up to here, and the process some %s more: there is not enough "+
		"memory, which is %s by %s", config.Size(m.taken), config.Size(OwnMemory), config.Size(m.Bytes), m.Where)
	return false
}
