package ticket

import (
	"strconv"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/lib/values"
	"github.com/penstock-edge/penstock/pool/section"
)

// Cookie is the cookie of a pool that holds tickets.
type Cookie struct {
	Name  []byte
	Key   Key
	tail  string // of the Set-Cookie line
	plain string // the same for clients without TLS
}

// NewCookie returns the cookie that s describes; own signs tickets when s has no secret.
func NewCookie(s *section.Sticky, own []byte) *Cookie {
	key := []byte(s.Secret.Reveal())
	if len(key) == 0 {
		key = own
	}
	tail := "; Path=" + s.Path + "; HttpOnly; SameSite=" + s.SameSite
	if s.TTL > 0 {
		tail += "; Max-Age=" + strconv.Itoa(int(s.TTL/time.Second))
	}
	return &Cookie{Name: []byte(s.Cookie), Key: key, tail: tail + "; Secure", plain: tail}
}

// Lines returns what Set-Cookie says for the target at an address of a pool, to clients without TLS and with.
func (c *Cookie) Lines(pool, address string) (plain, secure []byte) {
	v := string(c.Name) + "=" + c.Key.Value(pool, address)
	return []byte(v + c.plain), []byte(v + c.tail)
}

// Find returns the place in l of the first ticket of l that a client has brought; -1: there is none. cookies
// are all of its Cookie lines.
func (c *Cookie) Find(cookies []byte, l List) int {
	for v, rest, ok := values.NextCookie(cookies, c.Name); ok; v, rest, ok = values.NextCookie(rest, c.Name) {
		if i := l.Find(v); i >= 0 {
			return i
		}
	}
	return -1
}

// IsTaken reports whether the application has a cookie of the name: the answer sets it, or the client has
// brought one that was not made here.
func (c *Cookie) IsTaken(x *edge.Exchange) bool {
	for v, rest, ok := values.NextCookie(x.Cookie, c.Name); ok; v, rest, ok = values.NextCookie(rest, c.Name) {
		if len(v) > 0 && !Is(v) {
			return true
		}
	}
	return x.SetsCookie(c.Name)
}
