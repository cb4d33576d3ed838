package ratelimit

import (
	"encoding/base64"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/ratelimit/bucket"
)

// Penalty is [rate_limit.NAME.penalty]: a key that is refused too often is refused early for a while.
type Penalty struct {
	Strikes int64         `toml:"strikes" default:"100" min:"1" max:"1000000"` // refusals
	Window  time.Duration `toml:"window" default:"1m" min:"1s" max:"24h"`      // in which they count
	// How long it is refused whatever it asks.
	Ban time.Duration `toml:"ban" default:"5m" min:"1s" max:"168h"`
}

// box is the keys of a limit that pay a penalty. It outlives reloads.
type box struct {
	strikes *bucket.Window
	bans    *bucket.GCRA // whose one event is a ban
	until   atomic.Int64 // when the last ban ends, clock nanoseconds: no key is looked for after it
}

func newBox(maxKeys int, p *Penalty) *box {
	return &box{strikes: bucket.NewWindow(maxKeys, false, p.Strikes, p.Window),
		bans: bucket.NewGCRA(maxKeys, false, bucket.Rate{Count: 1, Per: p.Ban, Burst: 1})}
}

func (b *box) set(now int64, p *Penalty) {
	b.strikes.SetRate(now, p.Strikes, p.Window)
	b.bans.SetRate(now, bucket.Rate{Count: 1, Per: p.Ban, Burst: 1})
	// The bans of now have become longer or shorter.
	if was := b.until.Load(); now < was {
		b.until.CompareAndSwap(was, now+int64(p.Ban)) // a faster one has noted a ban by the new rule
	}
}

// banned returns how long the key has to pay yet; 0: it has not.
func (b *box) banned(k bucket.Key, now int64) time.Duration {
	if now >= b.until.Load() {
		return 0
	}
	if r := b.bans.Peek(k, now, 1); !r.OK {
		return r.Retry
	}
	return 0
}

// strike notes a refusal, and bans the key if it was one too many.
func (b *box) strike(k bucket.Key, now int64) {
	if r := b.strikes.TryCharge(k, now, 1); r.OK && r.Remaining > 0 {
		return
	}
	if r := b.bans.TryCharge(k, now, 1); r.OK {
		end := now + int64(r.Reset)
		for was := b.until.Load(); was < end && !b.until.CompareAndSwap(was, end); was = b.until.Load() {
		}
	}
}

// reset forgets what a key was refused for, and reports whether there was anything.
func (b *box) reset(k bucket.Key, now int64) bool {
	struck, banned := b.strikes.Reset(k, now), b.bans.Reset(k, now)
	return struck || banned
}

// offenders are the keys that were refused most often, as far as a bounded list can tell (space-saving: a
// key that comes when the list is full takes the place of the least, with its count). It outlives reloads.
type offenders struct {
	mu   sync.Mutex
	list map[bucket.Key]*offender
}

type offender struct {
	name  string
	count uint64 // at most so often
	error uint64 // at least so often less than count
	last  time.Time
}

const mostOffenders = 100

// note counts a refusal. When others are at it, it leaves this one out: the list is for people.
func (o *offenders) note(k bucket.Key, name func() string) {
	if !o.mu.TryLock() {
		return
	}
	defer o.mu.Unlock()
	if f := o.list[k]; f != nil {
		f.count++
		f.last = time.Now()
		return
	}
	if o.list == nil {
		o.list = map[bucket.Key]*offender{}
	}
	f := &offender{name: name(), count: 1, last: time.Now()}
	if len(o.list) >= mostOffenders {
		var least bucket.Key
		low := ^uint64(0)
		for k, other := range o.list {
			if other.count < low {
				least, low = k, other.count
			}
		}
		delete(o.list, least)
		f.count, f.error = low+1, low
	}
	o.list[k] = f
}

// Offender is a key that was refused often, as /status shows it.
type Offender struct {
	Key     string    `json:"key"`
	Refused uint64    `json:"refused"` // at most
	Error   uint64    `json:"error"`   // how much less it may be
	Last    time.Time `json:"last"`
}

// top returns the first n.
func (o *offenders) top(n int) []Offender {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make([]Offender, 0, len(o.list))
	for _, f := range o.list {
		all = append(all, Offender{f.name, f.count, f.error, f.last})
	}
	slices.SortFunc(all, func(a, b Offender) int {
		if a.Refused != b.Refused {
			return int(min(max(int64(b.Refused)-int64(a.Refused), -1), 1))
		}
		return strings.Compare(a.Key, b.Key)
	})
	return all[:min(n, len(all))]
}

// describeKey names a key for people. What may be a secret, of a field, a cookie or a parameter, is told
// apart by the partition key alone, which the client is told too.
func (c *Config) describeKey(x *edge.Exchange, route string, k bucket.Key) string {
	var b strings.Builder
	for i := range c.parts {
		p := &c.parts[i]
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(partNames[p.kind])
		switch p.kind {
		case byIP:
			b.WriteString("=" + networkOf(x.Client, c.IPv4Prefix, c.IPv6Prefix))
		case byRoute, byHost, byMethod, byPath:
			b.WriteString("=" + strings.ToValidUTF8(clip(string(p.append(nil, x, c, route))), "?"))
		case byGlobal:
		default:
			b.WriteString(":" + string(p.name))
		}
	}
	raw := partitionOf(k)
	return b.String() + " pk=" + base64.StdEncoding.EncodeToString(raw[:])
}

// clip bounds what a key shows.
func clip(s string) string { return s[:min(len(s), 100)] }

func networkOf(a netip.Addr, v4, v6 int) string {
	bits := v6
	if a = a.Unmap().WithZone(""); a.Is4() {
		bits = v4
	}
	p, err := a.Prefix(bits)
	if err != nil || bits == a.BitLen() {
		return a.String()
	}
	return p.String()
}
