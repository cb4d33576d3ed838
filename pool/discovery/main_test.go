package discovery

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/penstock-edge/penstock/edge/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come: only a failing test takes so long.
const patience = 20 * time.Second

// parse decodes a value of discover.
func parse(discover string) (Source, config.Errors) {
	f := config.Parse("t.toml", []byte("[pool.users]\ndiscover = "+discover), config.Options{})
	var s Source
	for _, pool := range f.Root.Children("pool") {
		var c struct {
			Discover *Config `toml:"discover"`
		}
		pool.Decode(&c)
		if c.Discover != nil {
			s = c.Discover.Source(pool.Child("discover"))
		}
	}
	if q, ok := s.(interface{ quicken() }); ok {
		q.quicken()
	}
	return s, f.Finish()
}

// quicken shortens the pauses after failures.
func (o *origin) quicken() { o.longest = 20 * time.Millisecond }

func sourceOf(t testing.TB, format string, args ...any) Source {
	t.Helper()
	s, errs := parse(fmt.Sprintf(format, args...))
	if errs != nil {
		t.Fatal(errs)
	}
	return s
}

type told struct {
	set []Endpoint
	err error
}

// listener hears what a running source tells.
type listener struct {
	testing.TB
	ch  chan told
	end func() // ends the run and waits for it; also done at the end of the test
}

func listen(t testing.TB, s Source) *listener {
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{TB: t, ch: make(chan told, 1000)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx, func(set []Endpoint, err error) { l.ch <- told{set, err} })
	}()
	l.end = func() {
		cancel()
		select {
		case <-done:
		case <-time.After(patience):
			t.Error("Run does not end with its context")
		}
	}
	t.Cleanup(l.end)
	return l
}

func (l *listener) next() told {
	l.Helper()
	select {
	case x := <-l.ch:
		if (x.err == nil) == (len(x.set) == 0) {
			l.Fatalf("told %v, %v", x.set, x.err)
		}
		return x
	case <-time.After(patience):
		l.Fatal("nothing is told")
	}
	panic("BUG: not reached")
}

// wants receives until it has the set that is written as address or address*weight/zone, with a ! behind it
// for a backup and a - for one that is drained, in words. Sets told before it are a mistake, errors are not.
func (l *listener) wants(words string) {
	l.Helper()
	for {
		x := l.next()
		if x.err != nil {
			continue
		}
		if got := text(x.set); got != words {
			l.Fatalf("told  %s\nwant %s", got, words)
		}
		return
	}
}

// fails hears the next, which must be an error with this text in it.
func (l *listener) fails(want string) {
	l.Helper()
	x := l.next()
	if x.err == nil || !strings.Contains(x.err.Error(), want) {
		l.Fatalf("told %s, %v\nwant an error with %q", text(x.set), x.err, want)
	}
	if strings.ContainsAny(x.err.Error(), "\r\n") || len(x.err.Error()) > 1000 {
		l.Fatalf("error is not one short line: %q", x.err)
	}
}

// failsOnce hears errors until one has the text.
func (l *listener) failsOnce(want string) {
	l.Helper()
	for {
		x := l.next()
		if x.err == nil {
			l.Fatalf("told %s, want an error with %q", text(x.set), want)
		}
		if strings.Contains(x.err.Error(), want) {
			return
		}
	}
}

func text(set []Endpoint) string {
	words := make([]string, len(set))
	for i, e := range set {
		words[i] = e.Address
		if e.Weight != 1 {
			words[i] += fmt.Sprintf("*%d", e.Weight)
		}
		if e.Zone != "" {
			words[i] += "/" + e.Zone
		}
		if e.Backup {
			words[i] += "!"
		}
		if e.Drain {
			words[i] += "-"
		}
	}
	return strings.Join(words, " ")
}

// until polls a condition.
func until(t testing.TB, what string, good func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !good(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain: " + what)
		}
	}
}

func write(t testing.TB, dir, name, content string) (path string) {
	t.Helper()
	path = filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkSet holds any answer against what Source promises about a set.
func checkSet(t testing.TB, a *answer) {
	t.Helper()
	set, err := a.set()
	if (err == nil) == (len(set) == 0) {
		t.Fatalf("%v, %v", set, err)
	}
	if !slices.IsSortedFunc(set, func(x, y Endpoint) int { return strings.Compare(x.Address, y.Address) }) {
		t.Fatalf("not sorted: %v", set)
	}
	for i, e := range set {
		clean, err := cleanAddress(e.Address)
		if err != nil || clean != e.Address || e.Weight < 0 || e.Weight > maxWeight || !isZone(e.Zone) {
			t.Fatalf("%+v: %v", e, err)
		}
		if i > 0 && set[i-1].Address == e.Address {
			t.Fatalf("twice: %v", e)
		}
	}
}
