package lookup

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/cache/entry"
	"github.com/penstock-edge/penstock/cache/fetch"
	"github.com/penstock-edge/penstock/cache/fresh"
	"github.com/penstock-edge/penstock/cache/outcome"
	"github.com/penstock-edge/penstock/edge"
)

// Explain implements edge.Explainer.
func (l *Filter) Explain(x, answer *edge.Exchange) (lines []string) {
	c := l.Cache
	say := func(format string, args ...any) { lines = append(lines, c.Name+": "+fmt.Sprintf(format, args...)) }
	r := &record{}
	if why := l.begin(x, r); why != outcome.None {
		say("passed by (%s): %s", why.Word(), why.Text())
		return lines
	}
	c.explainRequest(say, x, r)
	if answer == nil {
		say("whether an answer is stored depends on it: -A 'Cache-Control: max-age=60' supposes one")
		return lines
	}
	c.explainAnswer(say, x, answer, r)
	return lines
}

// explainRequest gives say the lines about the request.
func (c *Cache) explainRequest(say func(string, ...any), x *edge.Exchange, r *record) {
	_, key, _ := strings.Cut(string(r.Exact), "\x00")
	key = strings.ReplaceAll(key, "\x00", " + ")
	if r.Keyed {
		key += " + the method and the body"
	}
	say("looked up as %s", key)
	if gone := c.Rules.Omitter.Lines(x); len(gone) > 0 {
		say("a fetch leaves out %s: the key has nothing of it", strings.Join(gone, ", "))
	}
	if r.freed {
		say("that the request wants something fresher is ignored (ignore_client_no_cache)")
	}
	if r.q.NoCache || r.q.MaxAge == 0 {
		say("the request wants the target to be asked")
	}
	if asksForPart(x) && !c.Conf.FetchWhole {
		say("%s", outcome.PartOnly.Text())
	}
}

// explainAnswer gives say the lines about the answer: whether it is stored, and for how long it is used.
func (c *Cache) explainAnswer(say func(string, ...any), x, answer *edge.Exchange, r *record) {
	d := c.Describe(answer, x.Req.Has(fetch.Authorization))
	d.Asked = time.Now().UnixMilli()
	d.Came = d.Asked
	if why := d.Storable(r.Opts, d.Validates()); why != fresh.Storable {
		say("the answer is not stored (%s): %s", why, why.Text())
		return
	}
	if c.overrules(answer, d) {
		say("the answer itself forbids to store it as it is, which override overrules")
	}
	e := c.EntryOf(d, r.Opts)
	say("the answer is stored, and fresh for %s", seconds(e.Lifetime-e.Age))
	switch {
	case e.Flags&entry.AlwaysAsk != 0:
		say("the target is asked each time whether it still holds (no-cache)")
	case e.Flags&entry.MustRevalidate != 0 && e.Revive == 0 && e.Rescue == 0:
		say("it is never used stale")
	}
	if e.Revive > 0 {
		say("it is used for %s more while it is fetched anew", seconds(e.Revive))
	}
	if e.Rescue > 0 {
		say("it is used for %s more when the target fails", seconds(e.Rescue))
	}
	if len(d.Vary) > 0 {
		say("requests with other values of these fields have answers of their own: %s",
			bytes.Join(d.Vary, []byte(", ")))
	}
}

// overrules reports whether an answer, which d describes, is stored since the configuration overrules it.
func (c *Cache) overrules(answer *edge.Exchange, d *entry.Description) bool {
	said := *entry.Describe(answer)
	said.Asked, said.Came = d.Asked, d.Came
	o := c.opts
	o.IgnoreNoStore, o.IgnorePrivate = false, false
	why := said.Storable(&o, true)
	return why == fresh.NoStore || why == fresh.Private || why == fresh.SetCookie
}

func seconds(ms int64) time.Duration { return max(time.Duration(ms)*time.Millisecond, 0) }
