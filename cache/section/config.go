// Package section has the keys of [cache.NAME] and of what a route says of its cache.
package section

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/cache/accept"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/key"
	"github.com/penstock-edge/penstock/cache/store"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// Config is [cache.NAME].
type Config struct {
	Size config.Size `toml:"size" default:"256MiB" min:"4MiB"` // taken at the start and always
	// The largest body that is stored; at most a quarter of size.
	MaxObject config.Size `toml:"max_object" default:"8MiB" min:"1KiB"`
	// For answers that say less, max-age=0 and an Expires of the past included.
	MinTTL time.Duration `toml:"min_ttl" default:"0s" min:"0s" max:"8760h"`
	// For answers that carry no freshness of their own; 0s: they are not stored.
	DefaultTTL time.Duration `toml:"default_ttl" default:"0s" min:"0s" max:"8760h"`
	// true: a tenth of the time since Last-Modified, up to a day, where nothing is said.
	Heuristic bool `toml:"heuristic" default:"false"`
	// Lifetimes by status, "404" or "301-308", before default_ttl and heuristic; the narrower range counts.
	TTL map[string]time.Duration `toml:"ttl" unset:"{}"`
	// For answers that say more; 0s: no bound.
	MaxTTL time.Duration `toml:"max_ttl" default:"0s" min:"0s" max:"8760h"`
	// Served stale for so long while it is fetched anew, if the answer says nothing.
	StaleWhileRevalidate time.Duration `toml:"stale_while_revalidate" default:"0s" min:"0s" max:"8760h"`
	// Served stale for so long when the target fails, if the answer says nothing.
	StaleIfError time.Duration `toml:"stale_if_error" default:"0s" min:"0s" max:"8760h"`
	// Codings in which answers are stored besides (zstd, br, gzip), when first wanted; the best first.
	Compress []string `toml:"compress"`
	// Bodies of that size and more.
	CompressMin config.Size `toml:"compress_min" default:"1KiB" min:"0B"`
	// Media types of bodies that are compressed, such as "text/*" and "*+json".
	CompressTypes []string `toml:"compress_types" unset:"text/*, JSON, XML, JavaScript, WebAssembly, SVG"`
	// A list of URLs, one a line, that are asked for at the start.
	Warm string `toml:"warm" unset:"none"`
	// URLs of warm that are asked for at once.
	WarmWorkers int `toml:"warm_workers" default:"4" min:"1" max:"256"`
	// A folder for a second tier, which survives restarts.
	Disk string `toml:"disk" unset:"none"`
	// What its files take; objects of up to an eighth of it go there.
	DiskSize config.Size `toml:"disk_size" default:"1GiB" min:"64MiB"`
	// Objects on disk at most: each takes some 270 bytes of memory.
	DiskObjects int `toml:"disk_objects" default:"1000000" min:"1000" max:"1000000000"`
	// false: what asks for a part, or for the head, of what is not stored is passed on.
	FetchWhole bool `toml:"fetch_whole" default:"true"`
	// true: parameters in another order are the same.
	SortQuery bool `toml:"sort_query" default:"false"`
	// Parameters that belong to the key; the others do not reach the target; []: all.
	QueryKeep []string `toml:"query_keep"`
	// Instead of query_keep: parameters that do not; * at the end: whatever begins so.
	QueryDrop []string `toml:"query_drop"`
	// pass: requests with cookies pass by; ignore: cookies are taken out of requests.
	Cookies string `toml:"cookies" default:"pass" enum:"pass|ignore"`
	// Cookies that are a part of the key, and reach the target.
	KeyCookies []string `toml:"key_cookies"`
	// Fields that are a part of the key whatever Vary says.
	KeyHeaders []string `toml:"key_headers"`
	// How long a request waits for another one's fetch.
	WaitTimeout time.Duration `toml:"wait_timeout" default:"5s" min:"10ms" max:"10m"`
	// true: a client's no-cache, max-age, min-fresh and Pragma do not reach the target.
	IgnoreClientNoCache bool `toml:"ignore_client_no_cache" default:"false"`
	// Answers are stored although they must not be by their own fields; never for requests with Authorization.
	Override Override `toml:"override"`

	Table *config.Table `toml:"-"`

	ByStatus *fresh.ByStatus `toml:"-"`

	Rules  *key.Rules       `toml:"-"`
	Coders []*accept.Coding `toml:"-"`
}

// Override has answers stored that are not to be stored by their own fields, for targets that cannot be
// changed. It is not for answers to requests with Authorization.
type Override struct {
	NoStore bool `toml:"no_store" default:"false"` // true: whatever no-store says
	Private bool `toml:"private" default:"false"`  // true: whatever private says
	// strip: what sets cookies is stored, without them.
	SetCookie string `toml:"set_cookie" default:"keep" enum:"keep|strip"`

	Table *config.Table `toml:"-"`
}

// warn records what each key makes of the answers of a target that means what it says.
func (o *Override) warn() {
	if o.NoStore {
		o.Table.Warnf("no_store", "answers with no-store are kept, and given to every client")
	}
	if o.Private {
		o.Table.Warnf("private",
			"answers with private are given to every client: none may be about the one who asks")
	}
	if o.SetCookie == "strip" {
		o.Table.Warnf("set_cookie", "answers that set a cookie are given to every client, without the cookie: "+
			"none may be about the one who asks")
	}
}

// checkPatterns records patterns of parameters that have a * elsewhere than at the end.
func checkPatterns(t *config.Table, key string, patterns []string) {
	for _, p := range patterns {
		if i := strings.IndexByte(p, '*'); i >= 0 && i < len(p)-1 {
			t.Mistake(key, p, p[:i+1], fmt.Sprintf("a * stands at the end only, as in %q", p[:i+1]))
		}
	}
}

// Read returns what a table says. It records mistakes with the table.
func Read(t *config.Table) *Config {
	c := &Config{Rules: key.New(nil)}
	t.Decode(c)
	if c.Size < store.MinSize {
		return c // recorded already
	}
	if c.MaxObject > c.Size/4 {
		if t.Has("max_object") {
			t.Errorf("max_object", "must be at most a quarter of size, %s", c.Size/4)
		}
		c.MaxObject = c.Size / 4
	}
	if c.Disk != "" && !filepath.IsAbs(c.Disk) {
		t.Errorf("disk", "must be an absolute path, is %q", c.Disk)
		c.Disk = ""
	}
	if c.MaxTTL > 0 && c.MinTTL > c.MaxTTL {
		t.Errorf("min_ttl", "is more than max_ttl, %s", c.MaxTTL)
	}
	checkPatterns(t, "query_keep", c.QueryKeep)
	checkPatterns(t, "query_drop", c.QueryDrop)
	c.ByStatus = readTTL(t, c.TTL, nil)
	c.Override.warn()
	c.readCodings(t)
	c.readRules(t)
	return c
}

// readRules makes the rules of keys of what the table has.
func (c *Config) readRules(t *config.Table) {
	var headers [][]byte
	for i, name := range c.KeyHeaders {
		if !header.IsToken(name) {
			t.Errorf("key_headers", "entry %d, %q, is not the name of a header field", i+1, name)
			continue
		}
		headers = append(headers, []byte(header.Canonical(name)))
	}
	c.Rules = key.New(headers)
	c.Rules.SortQuery, c.Rules.QueryKeep, c.Rules.QueryDrop = c.SortQuery, c.QueryKeep, c.QueryDrop
	c.Rules.IgnoreNoCache = c.IgnoreClientNoCache
	for i, name := range c.KeyCookies {
		if !header.IsToken(name) {
			t.Errorf("key_cookies", "entry %d, %q, is not the name of a cookie", i+1, name)
			continue
		}
		c.Rules.Cookies = append(c.Rules.Cookies, []byte(name))
	}
}

// defaultTypes are those of bodies that become much smaller.
var defaultTypes = []string{"text/*", "application/json", "application/javascript", "application/xml",
	"application/wasm", "application/manifest+json", "image/svg+xml", "*+json", "*+xml"}

func (c *Config) readCodings(t *config.Table) {
	if len(c.CompressTypes) == 0 {
		c.CompressTypes = defaultTypes
	}
	for _, name := range c.Compress {
		i := slices.IndexFunc(accept.Made, func(one accept.Coding) bool { return one.Name == name })
		if i < 0 {
			t.Errorf("compress", "has %q; known are gzip, br and zstd", name)
			continue
		}
		c.Coders = append(c.Coders, &accept.Made[i])
	}
}
