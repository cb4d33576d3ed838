package health

import (
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/lib/header"
)

// Config is [pool.NAME.health]. Its owner decodes it, then calls Validate. It does not change afterwards and
// may be shared.
type Config struct {
	// tcp (it connects) or grpc (grpc.health.v1).
	Kind string `toml:"kind" default:"http" enum:"http|tcp|grpc"`
	Path string `toml:"path" default:"/"` // of the request, with its query
	// HEAD, OPTIONS or POST.
	Method string `toml:"method" default:"GET" enum:"GET|HEAD|OPTIONS|POST"`
	Host   string `toml:"host" unset:"the target's"` // the Host or :authority of a check
	// Fields of a check, as written; for grpc metadata.
	Headers map[string]string `toml:"headers" unset:"{}"`
	// Codes and ranges, separated by commas.
	Status Statuses `toml:"status" default:"200-299" type:"string"`
	// A regular expression that the first 64 KiB of the body must match.
	Body *regexp.Regexp `toml:"body"`
	// What a check of grpc asks about; "": the whole server.
	Service string `toml:"service"`
	Port    int    `toml:"port" default:"0" min:"0" max:"65535"` // that checks go to; 0: the target's own

	// Between two checks of a healthy target.
	Interval time.Duration `toml:"interval" default:"5s" min:"10ms" max:"1h"`
	// Between two checks of one that is not, or not known; never slower than interval.
	UnhealthyInterval time.Duration `toml:"unhealthy_interval" default:"1s" min:"10ms" max:"1h"`
	// Of a whole check.
	Timeout time.Duration `toml:"timeout" default:"1s" min:"1ms" max:"5m"`

	// Successes in a row that bring a target back.
	HealthyAfter int `toml:"healthy_after" default:"2" min:"1" max:"1000"`
	// Failures in a row that take it out.
	UnhealthyAfter int `toml:"unhealthy_after" default:"3" min:"1" max:"1000"`
	// unhealthy: no requests before the first check has succeeded.
	Assume string `toml:"assume" default:"healthy" enum:"healthy|unhealthy"`
}

// foreign are the keys that mean nothing to a kind.
func foreign(kind string) []string {
	switch kind {
	case "tcp":
		return []string{"path", "method", "host", "headers", "status", "body", "service"}
	case "grpc":
		return []string{"path", "method", "status", "body"}
	}
	return []string{"service"}
}

// Validate records with t, the table that c was decoded from, what is wrong beyond types and bounds.
func (c *Config) Validate(t *config.Table) {
	for _, key := range foreign(c.Kind) {
		if t.Has(key) {
			t.Errorf(key, "means nothing to checks of kind %q", c.Kind)
		}
	}
	if !strings.HasPrefix(c.Path, "/") || strings.ContainsFunc(c.Path, notInTarget) {
		t.Errorf("path", "must begin with / and have no spaces, # or control characters, is %q", c.Path)
	}
	if strings.ContainsFunc(c.Host, notInHost) {
		t.Errorf("host", "must be a host with or without a port, is %q", c.Host)
	}
	c.validateHeaders(t)
	if c.Method == http.MethodHead && c.wantsBody() {
		t.Errorf("body", "an answer to HEAD has no body that could match")
	}
	if t.Has("unhealthy_interval") && c.UnhealthyInterval > c.Interval {
		t.Errorf("unhealthy_interval", "must not be slower than the interval of %s, is %s",
			c.Interval, c.UnhealthyInterval)
	}
}

func (c *Config) validateHeaders(t *config.Table) {
	if len(c.Headers) == 0 {
		return
	}
	table := t.Child("headers")
	for name, value := range c.Headers {
		switch {
		case !header.IsToken(name):
			table.Errorf(name, "%q is not the name of a header", name)
		case strings.ContainsFunc(value, notInValue): // not shown: it may be a secret
			table.Errorf(name, "the value has control characters, such as the end of a line")
		case strings.EqualFold(name, "host"):
			table.Errorf(name, "is set by the key host")
		case isOurs(name):
			table.Errorf(name, "is the check's own affair")
		}
	}
}

// CheckTarget returns why a target at address cannot be checked with c, nil when it can be.
func (c *Config) CheckTarget(address string) error {
	if c.Port != 0 && isUnix(address) {
		return fmt.Errorf("%s has no port %d to check: a unix socket has no ports", address, c.Port)
	}
	return nil
}

// Same reports whether o makes the same checks and judges them in the same way.
func (c *Config) Same(o *Config) bool { return c == o || reflect.DeepEqual(c, o) }

func isUnix(address string) bool { return strings.HasPrefix(address, "unix:") }

func (c *Config) wantsBody() bool { return c.Body != nil && c.Body.String() != "" }

// every returns the time between two checks of a target in this state, before jitter.
func (c *Config) every(s State) time.Duration {
	if s == Healthy {
		return c.Interval
	}
	return min(c.Interval, c.UnhealthyInterval)
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// notInTarget: what would end the request line's target, or the part of it that is sent.
func notInTarget(r rune) bool { return r == ' ' || r == '#' || isControl(r) }

func notInHost(r rune) bool {
	return r > 0x7f || isControl(r) || strings.ContainsRune(" \"#,/<>?@\\^`{|}", r)
}

// notInValue: RFC 9110 section 5.5 allows the tab among the control characters.
func notInValue(r rune) bool { return r != '\t' && isControl(r) }

// isOurs reports whether a field frames the message or decides about the connection.
func isOurs(name string) bool {
	switch strings.ToLower(name) {
	case "connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade":
		return true
	}
	return false
}
