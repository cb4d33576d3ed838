package section

import (
	"strings"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/cookie"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// Sticky is [pool.NAME.sticky].
type Sticky struct {
	Cookie string `toml:"cookie" default:"penstock"` // name of the cookie
	// Signs the cookie; gateways that share clients share it.
	Secret config.Secret `toml:"secret" unset:"one of the process's own"`
	// How long the cookie lasts; 0s: until the browser ends.
	TTL  time.Duration `toml:"ttl" default:"0s" max:"8760h"`
	Path string        `toml:"path" default:"/"` // of the cookie
	// Of the cookie; or Strict, None.
	SameSite string `toml:"same_site" default:"Lax" enum:"Lax|Strict|None"`

	Table *config.Table `toml:"-"`
}

func (s *Sticky) check() {
	if !header.IsToken(s.Cookie) {
		s.Table.Errorf("cookie", "%q is not the name of a cookie", s.Cookie)
	}
	if cookie.IsLikely(s.Cookie) {
		s.Table.Warnf("cookie", "%s is what applications call their session: one that sets it itself keeps it, "+
			"and its clients stick to no target", s.Cookie)
	}
	_, why := header.Given("Set-Cookie", s.Path)
	if why != "" || strings.Contains(s.Path, ";") || !strings.HasPrefix(s.Path, "/") {
		s.Table.Errorf("path", "must begin with / and may not hold ; or control characters, is %q", s.Path)
	}
	if s.TTL > 0 && s.TTL < time.Second {
		s.Table.Errorf("ttl", "must be 1s or more, as cookies count seconds, or 0s, is %q", s.TTL)
	}
}
