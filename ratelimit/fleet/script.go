package fleet

import (
	"context"
	"crypto/sha1" //nolint:gosec // what EVALSHA names scripts by
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

// The scripts go by the clock of the server, in microseconds: those of the gateways differ.

// nodesScript counts the gateways that were heard of lately, this one included.
const nodesScript = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2] * 12)
return redis.call('ZCARD', KEYS[1])
`

// limitScript charges one or several limits. Each has a key and five arguments: how ('e' if there is as much
// left, and then all or none; 'o' the same, though the others do not depend on it; 'p' and 'v' are these two
// where nothing is charged; 'c' whatever is left), the cost, and three numbers of its kind, which the prefix
// of the value tells:
//
//	g  GCRA as a bucket that drains: events a microsecond, burst
//	w  a sliding window: limit, length
//	q  a window of the calendar: limit, end and start in milliseconds since 1970
//
// A value is what was spent, in events, and when: another rate changes nothing of that. Behind it stands the
// burst, the limit and the length of the window, or its end, by which it was written: where the present
// limit is smaller, no more than that is owed, and what counts of a window of another length does in the one
// of now. The answer has five integers a limit: 1 or 0, what is left (millionths of an event), how much
// comes back in a second (the same), the microseconds until all of it is there, and those until the cost is
// (-1: never).
const limitScript = `
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local values = redis.call('MGET', unpack(KEYS))
local out, writes, all = {}, {}, true

local function count(kind, v, how, cost, a, b, c)
  local spent, at, before = 0, now, 0
  local looks = how == 'p' or how == 'v'
  local left, gain, full, wait = 0, 0, 0, -1
  local ttl, text
  local less = false
  if kind == 'g' then
    if v then
      local s, w, most = string.match(v, '^(%S+) (%S+) ?(%S*)$')
      spent, at = tonumber(s), tonumber(w)
      less = (tonumber(most) or b) > b
      if less then spent, at = math.min(spent, b), math.min(at, now) end
      if at < now then
        spent = math.max(spent - (now - at) * a, 0)
        at = now
      end
    end
    local ok = how == 'c' or spent + cost <= b + 0.000001
    local after = spent
    if ok and not looks then after = math.max(spent + cost, 0) end
    if less then after = math.min(after, b) end
    if not ok and cost <= b then wait = (spent + cost - b) / a + at - now end
    left, gain, full = b - after, a * 1000000, after / a + at - now
    ttl = full / 1000
    text = string.format('%.17g %.0f %.17g', after, at, b)
    return ok, left, gain, full, wait, ttl, text
  end
  if kind == 'w' then
    local index = math.floor(now / b)
    if v then
      local i, p, s, most, length = string.match(v, '^(%S+) (%S+) (%S+) ?(%S*) ?(%S*)$')
      i, p, s, length = tonumber(i), tonumber(p), tonumber(s), tonumber(length) or b
      if length ~= b then
        local past = (now - i * length) / length
        i, p, s = index, 0, p * math.min(math.max(1 - past, 0), 1) + s * math.min(math.max(2 - past, 0), 1)
      end
      less = (tonumber(most) or a) > a
      if less then p, s = math.min(p, a), math.min(s, a) end
      if i == index then before, spent = p, s
      elseif i > index then index, before, spent = i, p, s
      elseif i + 1 == index then before = s end
    end
    local passed = math.max(now - index * b, 0)
    local rest = b - passed
    local counted = before * rest / b + spent
    local ok = how == 'c' or counted + cost <= a
    local after = spent
    if ok and not looks then after = math.max(spent + cost, 0) end
    if less then after = math.min(after, a) end
    left = a - before * rest / b - after
    gain = before * 1000000 / b
    if after > 0 then full = rest + b elseif before > 0 then full = rest end
    if not ok and cost <= a then
      if spent + cost <= a then wait = rest - (a - cost - spent) * b / before
      else wait = rest + b - (a - cost) * b / spent end
    end
    ttl = 2 * b / 1000
    text = string.format('%.0f %.17g %.17g %.0f %.0f', index, before, after, a, b)
    return ok, left, gain, full, wait, ttl, text
  end
  local number = c
  if v then
    local n, s, e = string.match(v, '^(%S+) (%S+) ?(%S*)$')
    n, e = tonumber(n), tonumber(e) or 0
    if n >= c then number, spent = n, tonumber(s)
    elseif e * 1000 > now then spent = tonumber(s) end
  end
  full = math.max(b * 1000 - now, 1)
  local ok = how == 'c' or spent + cost <= a
  local after = spent
  if ok and not looks then after = math.max(spent + cost, 0) end
  if not ok and cost <= a then wait = full end
  ttl = full / 1000 + 3600000
  return ok, a - after, 0, full, wait, ttl, string.format('%.0f %.17g %.0f', number, after, b)
end

for i = 1, #KEYS do
  local j = (i - 1) * 6
  local how = ARGV[j + 2]
  local ok, left, gain, full, wait, ttl, text = count(ARGV[j + 1], values[i], how, tonumber(ARGV[j + 3]),
    tonumber(ARGV[j + 4]), tonumber(ARGV[j + 5]), tonumber(ARGV[j + 6]))
  if not ok and (how == 'e' or how == 'p') then all = false end
  if ok and how ~= 'p' and how ~= 'v' then writes[#writes + 1] = {i, text, ttl} end
  local o = (i - 1) * 5
  out[o + 1] = ok and 1 or 0
  out[o + 2] = math.floor(left * 1000000)
  out[o + 3] = math.floor(gain * 1000000)
  out[o + 4] = math.ceil(full)
  out[o + 5] = math.ceil(wait)
end
if all then
  for _, w in ipairs(writes) do
    redis.call('SET', KEYS[w[1]], w[2], 'PX', string.format('%.0f', math.max(math.ceil(w[3]), 1) + 1000))
  end
end
return out
`

var (
	nodesLua = rueidis.NewLuaScript(nodesScript)
	limitSum = sha1.Sum([]byte(limitScript)) //nolint:gosec // what EVALSHA names scripts by
	limitSHA = hex.EncodeToString(limitSum[:])
)

// countNodes tells the server that the gateway id is alive and returns how many are.
func countNodes(ctx context.Context, c rueidis.Client, key, id string) (int64, error) {
	life := strconv.FormatInt(nodeLife.Milliseconds(), 10)
	return nodesLua.Exec(ctx, c, []string{key}, []string{id, life}).AsInt64()
}

// how a limit is charged, as the script has it.
const (
	enforce = "e"
	observe = "o"
	charge  = "c"
	peek    = "p" // enforce, and nothing is charged
	view    = "v" // observe, and nothing is charged
)

// said is what the script returns for one limit.
type said struct {
	ok         bool
	left       float64 // events; less than 0: debt
	gain       float64 // events a nanosecond
	full, wait time.Duration
}

// command is one run of the script. It is built anew for each attempt: the client takes it over.
type command struct {
	keys, args []string
}

// add appends one limit.
func (c *command) add(key string, r *Rule, how string, cost float64, now time.Time) {
	a := r.arguments(now)
	c.keys = append(c.keys, key)
	c.args = append(c.args, r.kind, how, number(cost), a[0], a[1], a[2])
}

func (c *command) build(to rueidis.Client) rueidis.Completed {
	return to.B().Evalsha().Sha1(limitSHA).Numkeys(int64(len(c.keys))).Key(c.keys...).Arg(c.args...).Build()
}

// run sends all commands in one go and calls each with its answer, or with an error. A server that does not
// know the script yet is given it.
func run(ctx context.Context, to rueidis.Client, all []command, each func(i int, said []said, err error)) {
	again := send(ctx, to, all, nil, each)
	if len(again) == 0 {
		return
	}
	for _, node := range to.Nodes() {
		if node.Do(ctx, node.B().ScriptLoad().Script(limitScript).Build()).Error() != nil {
			continue // a node that is gone, or a replica: the one that matters says so below
		}
	}
	for _, i := range send(ctx, to, all, again, each) {
		each(i, nil, errNoScript)
	}
}

var errNoScript = errors.New("it does not keep the script that it was given")

// send sends the commands with the given numbers, nil: all, and returns those that did not know the script.
func send(ctx context.Context, to rueidis.Client, all []command, which []int,
	each func(i int, said []said, err error)) (unknown []int) {
	if which == nil {
		for i := range all {
			which = append(which, i)
		}
	}
	built := make([]rueidis.Completed, 0, len(which))
	for _, i := range which {
		built = append(built, all[i].build(to))
	}
	for j, r := range to.DoMulti(ctx, built...) {
		i := which[j]
		if e, ok := rueidis.IsRedisErr(r.Error()); ok && e.IsNoScript() {
			unknown = append(unknown, i)
			continue
		}
		s, err := parse(r, len(all[i].keys))
		each(i, s, err)
	}
	return unknown
}

// parse reads the answer of the script.
func parse(r rueidis.RedisResult, limits int) ([]said, error) {
	n, err := r.AsIntSlice()
	if err != nil {
		return nil, err
	}
	if len(n) != 5*limits {
		return nil, fmt.Errorf("the script has answered %d numbers for %d limits", len(n), limits)
	}
	list := make([]said, limits)
	for i := range list {
		v := n[5*i:]
		list[i] = said{v[0] == 1, float64(v[1]) / 1e6, float64(v[2]) / 1e6 / float64(time.Second),
			time.Duration(v[3]) * time.Microsecond, time.Duration(v[4]) * time.Microsecond}
	}
	return list, nil
}
