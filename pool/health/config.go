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
	Kind   string `toml:"kind" default:"http" enum:"http|tcp|grpc"`
	Path   string `toml:"path" default:"/"` // http: with its query, sent as it stands
	Method string `toml:"method" default:"GET" enum:"GET|HEAD|OPTIONS|POST"`
	Host   string `toml:"host"` // Host or :authority; default: Target.Host
	// Headers go out as written; in gRPC they are metadata.
	Headers map[string]string `toml:"headers"`
	Status  Statuses          `toml:"status" default:"200-299"`
	// Body must match the first 64 KiB of the answer's body; nil or the empty one: not read.
	Body    *regexp.Regexp `toml:"body"`
	Service string         `toml:"service"` // grpc: "" is the whole server
	// Port that checks go to; 0: the target's own.
	Port int `toml:"port" default:"0" min:"0" max:"65535"`

	Interval time.Duration `toml:"interval" default:"5s" min:"10ms" max:"1h"`
	// UnhealthyInterval holds while a target is unhealthy or unknown. It is never slower than Interval.
	UnhealthyInterval time.Duration `toml:"unhealthy_interval" default:"1s" min:"10ms" max:"1h"`
	Timeout           time.Duration `toml:"timeout" default:"1s" min:"1ms" max:"5m"` // of a whole check

	HealthyAfter   int    `toml:"healthy_after" default:"2" min:"1" max:"1000"`   // successes in a row
	UnhealthyAfter int    `toml:"unhealthy_after" default:"3" min:"1" max:"1000"` // failures in a row
	Assume         string `toml:"assume" default:"healthy" enum:"healthy|unhealthy"`
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

// CheckTarget says why a target at address cannot be checked with c, nil when it can be.
func (c *Config) CheckTarget(address string) error {
	if c.Port != 0 && isUnix(address) {
		return fmt.Errorf("%s has no port %d to check: a unix socket has no ports", address, c.Port)
	}
	return nil
}

// Same tells whether o makes the same checks and judges them in the same way.
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

// isOurs names the fields that say how a message is framed and what becomes of the connection.
func isOurs(name string) bool {
	switch strings.ToLower(name) {
	case "connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade":
		return true
	}
	return false
}
