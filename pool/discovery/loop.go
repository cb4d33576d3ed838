package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/caught"
	"github.com/penstock-edge/penstock/edge/lib/chance"
)

const (
	minBackoff = 250 * time.Millisecond
	maxBackoff = 30 * time.Second
)

// backoff gives the pauses between attempts that fail: any time up to a bound that doubles.
type backoff struct {
	longest time.Duration // 0: maxBackoff
	bound   time.Duration // of the last pause; 0: there was none
}

func (b *backoff) next() time.Duration {
	b.bound = min(max(2*b.bound, minBackoff), cmp.Or(b.longest, maxBackoff))
	return 1 + chance.Duration(b.bound)
}

// wait returns after d, and false when ctx ended before.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// contained calls look, which reads and tells an answer. What it panics with is an error of the answer: the
// targets of before stay.
func contained(look func() error) error {
	err := caught.Try(look)
	var p *caught.Panic
	if errors.As(err, &p) {
		slog.Error("panic", "step", "discover targets", "panic", p.Error(), "stack", string(p.Stack))
		return fmt.Errorf("the answer makes the gateway fail, which is a mistake of its own: %w", p)
	}
	return err
}

// teller reports what is new. It belongs to the goroutine of one Run.
type teller struct {
	tell   func([]Endpoint, error)
	origin *origin

	last []Endpoint // told last; nil at first and after an error
	good time.Time  // when the session was first answered well; zero: not yet
}

// set reports a set that differs from the last. The error is that the answer is no set; nothing is reported
// then.
func (t *teller) set(ctx context.Context, a *answer) error {
	t.origin.drops.Add(int64(a.dropped))
	list, err := a.set()
	if err != nil {
		return err
	}
	t.answered()
	if ctx.Err() == nil && !slices.Equal(list, t.last) {
		told := slices.Clone(list)
		t.tell(list, nil)
		t.last = told
	}
	return nil
}

// watched is set for sources that go on watching whatever the answer is: its error is reported.
func (t *teller) watched(ctx context.Context, a *answer) {
	t.answered()
	if err := t.set(ctx, a); err != nil {
		t.fail(ctx, err)
	}
}

// fail reports an error, unless it is only the echo of the end of ctx.
func (t *teller) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	t.last = nil
	t.tell(nil, err)
}

// answered notes that the session goes well.
func (t *teller) answered() {
	if t.good.IsZero() {
		t.good = time.Now()
	}
}

// run holds one session after the other until ctx ends, with a pause between two. A session asks and watches
// as long as it can; its error is reported, nil is an end that need not be. The pauses grow, and are short
// again after a session that has been going well for longer than the last one could take.
func run(ctx context.Context, t *teller, session func(context.Context, *teller) error) {
	b := backoff{longest: t.origin.longest}
	for ctx.Err() == nil {
		t.good = time.Time{}
		err := contained(func() error { return session(ctx, t) })
		if err != nil {
			t.fail(ctx, err)
		}
		if !t.good.IsZero() && time.Since(t.good) >= b.bound {
			b.bound = 0
		}
		wait(ctx, b.next())
	}
}
