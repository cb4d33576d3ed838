package health

import (
	"errors"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/penstock-edge/penstock/edge/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDown = errors.New("down")

// parse decodes lines as [pool.a.health], and returns the mistakes in it.
func parse(lines string) (*Config, config.Errors) {
	file := config.Parse("t.toml", []byte("[pool.a.health]\n"+lines), config.Options{})
	c := &Config{}
	for _, pool := range file.Root.Children("pool") {
		t := pool.Child("health")
		t.Decode(c)
		c.Validate(t)
	}
	return c, file.Finish()
}

func good(t testing.TB, lines string) *Config {
	t.Helper()
	c, errs := parse(lines)
	if errs != nil {
		t.Fatal(errs)
	}
	return c
}

// wantError holds err against a text that it must have, "" for none.
func wantError(t testing.TB, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case want != "" && err == nil:
		t.Errorf("%s: no error, want %q", what, want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("%s: error %q, want %q", what, err, want)
	case err != nil && (strings.ContainsAny(err.Error(), "\r\n\x00") || len(err.Error()) > maxLine+3):
		t.Errorf("%s: error is not one short line: %q", what, err)
	}
}

// rawServer accepts connections and gives each to serve, which closes it by returning.
func rawServer(t testing.TB, serve func(nc net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			serve(nc)
			nc.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}
