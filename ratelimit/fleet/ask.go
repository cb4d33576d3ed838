package fleet

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/penstock-edge/penstock/edge/lib/clock"
	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

const (
	workers   = 8    // goroutines that send questions; each sends what has come meanwhile in one go
	mostBatch = 128  // questions in one go
	mostAsks  = 4096 // that wait to be sent; more are not asked
)

// Question is one limit of a request.
type Question struct {
	Ledger  *Ledger
	Key     bucket.Key
	Cost    int64
	Observe bool // the answer binds no request
	Peek    bool // nothing is charged
	Result  bucket.Result
}

// Ask is what a request wants to know of the server: all of its limits at once. It is charged to all of them
// or to none.
type Ask struct {
	Questions []Question

	state   atomic.Uint32
	answer  chan error // of size 1
	refused bool       // a limit that binds has refused: nothing is charged
	timer   *time.Timer
	sent    []command
	at      time.Time // when they were sent
}

// States of an Ask. Whoever changes it from waiting decides what becomes of it.
const (
	waiting   uint32 = iota
	answered         // Do has it, or will take it from the channel
	abandoned        // Do has gone; the worker puts it away
)

var asks = sync.Pool{New: func() any {
	a := &Ask{answer: make(chan error, 1), timer: time.NewTimer(time.Hour)}
	a.timer.Stop()
	return a
}}

// AcquireAsk returns an Ask without questions.
func AcquireAsk() *Ask { return asks.Get().(*Ask) }

// ReleaseAsk puts an Ask away whose Do has returned nil, or that was never asked. Not to be used afterwards.
func ReleaseAsk(a *Ask) {
	clear(a.Questions)
	a.Questions, a.sent = a.Questions[:0], a.sent[:0]
	a.state.Store(waiting)
	asks.Put(a)
}

// Errors of Do.
var (
	ErrDown = errors.New("redis does not answer")
	ErrLate = errors.New("redis did not answer in time")
	ErrBusy = errors.New("too many questions wait for redis")
	ErrLeft = errors.New("the client has gone")
)

// Client is the sender of the request.
type Client interface {
	// Gone reports whether it has left.
	Gone() bool
}

// lookEach is how often it is looked whether a waiting client is still there.
const lookEach = 100 * time.Millisecond

// Do asks the server and waits for at most timeout, or until the client leaves. The Ask is gone when it
// returns an error: what came too late may have been charged nevertheless.
func (l *Link) Do(a *Ask, timeout time.Duration, client Client) error {
	if !l.up.Load() {
		ReleaseAsk(a)
		return ErrDown
	}
	select {
	case l.asks <- a:
	default:
		ReleaseAsk(a)
		return ErrBusy
	}
	err := ErrLate
	for err == ErrLate && timeout > 0 { //nolint:errorlint // never wrapped
		a.timer.Reset(min(timeout, lookEach))
		select {
		case err := <-a.answer:
			a.timer.Stop()
			if err != nil {
				ReleaseAsk(a)
			}
			return err
		case <-a.timer.C:
		}
		if timeout -= lookEach; timeout > 0 && client.Gone() {
			err = ErrLeft
		}
	}
	if a.state.CompareAndSwap(waiting, abandoned) {
		if err == ErrLate { //nolint:errorlint // never wrapped
			l.failed(err)
		}
		return err
	}
	if err = <-a.answer; err != nil { // it is just being answered
		ReleaseAsk(a)
	}
	return err
}

// work sends what is asked.
func (l *Link) work() {
	batch := make([]*Ask, 0, mostBatch)
	for {
		select {
		case <-l.ctx.Done():
			l.refuseRest()
			return
		case a := <-l.asks:
			batch = append(batch[:0], a)
		}
	more:
		for len(batch) < mostBatch {
			select {
			case a := <-l.asks:
				batch = append(batch, a)
			default:
				break more
			}
		}
		l.send(batch)
	}
}

// refuseRest answers what will not be sent any more.
func (l *Link) refuseRest() {
	for {
		select {
		case a := <-l.asks:
			a.settle(ErrDown)
		default:
			return
		}
	}
}

// settle gives the Ask back to its owner. When that one has gone, what was charged is given back, since it
// was decided otherwise, and the Ask put away.
func (a *Ask) settle(err error) (inTime bool) {
	if a.state.CompareAndSwap(waiting, answered) {
		a.answer <- err
		return true
	}
	if err == nil && !a.refused {
		a.giveBack()
	}
	ReleaseAsk(a)
	return false
}

func (a *Ask) giveBack() {
	now, at := clock.Now(), time.Now()
	for i := range a.Questions {
		if q := &a.Questions[i]; q.Result.OK && !q.Peek {
			if n := q.Ledger.rule.Load().unspent(q.Cost, a.at, at); n > 0 {
				q.Ledger.Charge(q.Key, now, -n)
			}
		}
	}
}

// send asks the server a batch. Clients that have gone are left out. A cluster is asked for each limit by
// itself, since the keys are on several nodes.
func (l *Link) send(batch []*Ask) {
	c := l.client.Load()
	if c == nil {
		for _, a := range batch {
			a.settle(ErrDown)
		}
		return
	}
	var all []command
	live, now := batch[:0], time.Now()
	for _, a := range batch {
		if a.state.Load() == abandoned {
			ReleaseAsk(a)
			continue
		}
		a.compose(now, l.conf.Cluster)
		live, all = append(live, a), append(all, a.sent...)
	}
	if len(live) == 0 {
		return
	}
	inTime, err := l.exchange(*c, all, live)
	switch {
	case err != nil:
		l.failed(err)
	case inTime:
		l.fails.Store(0)
	}
}

// exchange runs the commands of asks and settles each with its answer. It reports whether any was still
// waited for.
func (l *Link) exchange(c rueidis.Client, all []command, live []*Ask) (inTime bool, failure error) {
	ctx, cancel := context.WithTimeout(l.ctx, l.conf.ConnectTimeout)
	defer cancel()
	answers, errs := make([][]said, len(all)), make([]error, len(all))
	run(ctx, c, all, func(i int, s []said, err error) { answers[i], errs[i] = s, err })
	for i, at := 0, 0; i < len(live); i++ {
		a := live[i]
		n := len(a.sent)
		if err := errors.Join(errs[at : at+n]...); err != nil {
			failure = err
			a.settle(err)
		} else {
			a.conclude(answers[at:at+n], l.conf.Cluster)
			inTime = a.settle(nil) || inTime
		}
		at += n
	}
	return inTime, failure
}

// compose makes the commands of a.
func (a *Ask) compose(now time.Time, apart bool) {
	a.sent, a.at = a.sent[:0], now
	for i := range a.Questions {
		q := &a.Questions[i]
		if i == 0 || apart {
			a.sent = append(a.sent, command{})
		}
		c := &a.sent[len(a.sent)-1]
		c.add(q.Ledger.name(q.Key), q.Ledger.rule.Load(), q.how(), float64(q.Cost), now)
	}
}

func (q *Question) how() string {
	switch {
	case q.Observe && q.Peek:
		return view
	case q.Observe:
		return observe
	case q.Peek:
		return peek
	}
	return enforce
}

// conclude turns answers into results. Where limits were asked apart, those that have charged a request which
// another one refuses give it back.
func (a *Ask) conclude(answers [][]said, apart bool) {
	a.refused = false
	for i := range a.Questions {
		q := &a.Questions[i]
		s := answers[0]
		if apart {
			s = answers[i]
		} else {
			s = s[i:]
		}
		untold := q.Ledger.learn(q.Key, s[0])
		if q.Result = s[0].result(); q.Peek && untold > 0 {
			q.Result = s[0].less(untold, float64(q.Cost))
		}
		a.refused = a.refused || !q.Result.OK && !q.Observe
	}
	if !a.refused {
		return
	}
	if apart {
		a.giveBack()
	}
	for i := range a.Questions {
		if q := &a.Questions[i]; q.Result.OK && !q.Peek {
			q.Result.Remaining += q.Cost
		}
	}
}
