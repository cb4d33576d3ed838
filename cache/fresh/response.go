package fresh

// Response is what a cache has to know of an answer and of the request that it came for.
type Response struct {
	Directives       // of the most specific field that the answer has for us
	Status     int   //
	Date       int64 // 0: none, or not a date
	Expires    int64 // 0: none
	ExpiresBad bool  // there is an Expires that is no date: it has passed (section 5.3)
	Modified   int64 // Last-Modified; 0: none
	Age        int64 // the Age field in seconds; 0: none
	Came       int64 // when the answer's head was there
	Asked      int64 // when the request was sent

	SetCookie     bool // the answer has Set-Cookie
	VaryAny       bool // it has Vary: *
	Authorization bool // the request had Authorization
	NoStore       bool // the request has Cache-Control: no-store
	Partial       bool // 206, or it has Content-Range
}

// Options are what the owner of a cache adds.
type Options struct {
	Default, Min, Max int64 // of lifetimes in milliseconds; Max 0: no bound
	Heuristic         bool  // a tenth of the time since Last-Modified, up to a day, if nothing else is said
	Revive, Rescue    int64 // stale-while-revalidate and stale-if-error, where the answer does not say it
	// ByStatus are lifetimes for answers that say nothing; nil: none.
	ByStatus *ByStatus
	// IgnoreNoStore and IgnorePrivate store what the answer says is not to be stored, but for requests with
	// Authorization.
	IgnoreNoStore, IgnorePrivate bool
}

// ByStatus are lifetimes in milliseconds by status. The zero value has none.
type ByStatus struct{ plusOne [600]int64 } // 0: none

// Set gives a status a lifetime.
func (b *ByStatus) Set(status int, life int64) { b.plusOne[status] = life + 1 }

// Of returns the lifetime of a status; ok is false when it has none. b may be nil.
func (b *ByStatus) Of(status int) (life int64, ok bool) {
	if b == nil || status < 0 || status >= len(b.plusOne) || b.plusOne[status] == 0 {
		return 0, false
	}
	return b.plusOne[status] - 1, true
}

// IsError reports whether a status is an error in the sense of RFC 5861 section 4.
func IsError(status int) bool { return status == 500 || status >= 502 && status <= 504 }

// Reason is why an answer is not stored.
type Reason uint8

// The reasons.
const (
	Storable      Reason = iota
	NotStatus            // its status is one that is never stored, or is not understood and has to be
	NotPartial           // it is a part
	NoStore              // no-store, of the answer or of the request
	Private              // private
	Authorization        // the request had Authorization, and the answer is not said to be for others
	SetCookie            // it sets a cookie
	VaryAny              // Vary: *
	NoFreshness          // nothing says for how long it is fresh or used stale, and it has nothing to ask by
	Reasons              // how many there are
)

var names = [Reasons]string{"storable", "status", "partial", "no_store", "private", "authorization",
	"set_cookie", "vary_any", "no_freshness"}

var texts = [Reasons]string{
	Storable:      "it may be stored",
	NotStatus:     "its status is about one request alone, or an unknown one with must-understand",
	NotPartial:    "it is a part of something",
	NoStore:       "it has no-store",
	Private:       "it has private: it is for one client",
	Authorization: "the request has Authorization, and the answer none of public, must-revalidate and s-maxage",
	SetCookie:     "it sets a cookie",
	VaryAny:       "it has Vary: *",
	NoFreshness:   "nothing says that it is fresh for a while, may be used stale, or is kept to be asked about",
}

// String returns a word for logs and metrics.
func (r Reason) String() string { return names[r] }

// Text returns a sentence for explanations.
func (r Reason) Text() string { return texts[r] }

// Lasts reports whether the reason holds for the next request as well, so that it need not wait for this one.
func (r Reason) Lasts() bool { return r != Storable && r != Authorization }

// understood reports whether the caching rules of a status are known here, which counts where an answer has
// must-understand (section 5.2.2.3): those of RFC 9110 section 15, and of RFC 4918, 7725 and 8470.
func understood(status int) bool {
	switch {
	case status >= 200 && status <= 205, status >= 300 && status <= 303, status == 305,
		status == 307, status == 308, status >= 400 && status <= 417, status >= 421 && status <= 426,
		status == 451, status >= 500 && status <= 505:
		return true
	}
	return false
}

// Excluded reports whether answers with a status are not stored, whatever they say. A part (206), a
// difference to what one client has (226) and a 304 are no answers by themselves. RFC 6585 forbids to store
// 428, 429, 431 and 511. The others are about the credentials, the body, the conditions or the connection of
// one request, which are in no key.
func Excluded(status int) bool {
	switch status {
	case 206, 226, 304, 401, 407, 408, 411, 412, 413, 415, 416, 417, 425, 426, 428, 429, 431, 511:
		return true
	}
	return status < 200 || status > 599
}

// heuristic reports whether a status may be stored without explicit freshness (RFC 9110 section 15.1; not
// 206 and 414).
func heuristic(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 308, 404, 405, 410, 501:
		return true
	}
	return false
}

// Storable reports whether a shared cache may store an answer to GET (sections 3 and 3.5), and with the
// options will.
func (r *Response) Storable(o *Options, validator bool) Reason {
	switch {
	case r.Partial || r.Status == 206:
		return NotPartial
	case Excluded(r.Status), r.MustUnderstand && !understood(r.Status):
		return NotStatus
	case r.NoStore || r.forbids(o):
		return NoStore
	case r.Private && (!o.IgnorePrivate || r.Authorization):
		return Private
	case r.VaryAny:
		return VaryAny
	case r.SetCookie:
		return SetCookie
	case r.Authorization && !r.forOthers():
		return Authorization
	case !r.useful(o, validator):
		return NoFreshness
	}
	return Storable
}

// forbids reports whether the answer has a no-store that counts: not where the status is understood (section
// 5.2.2.3), nor where the options overrule it.
func (r *Response) forbids(o *Options) bool {
	return r.Directives.NoStore && !r.MustUnderstand && (!o.IgnoreNoStore || r.Authorization)
}

// forOthers reports whether an answer to a request with Authorization may be used for other requests (section
// 3.5).
func (r *Response) forOthers() bool { return r.Public || r.MustRevalidate || r.SMaxAge >= 0 }

// useful reports whether something may be assumed of the answer's freshness, and it is of use when stored.
func (r *Response) useful(o *Options, validator bool) bool {
	life, ok := r.Lifetime(o)
	return (ok || r.explicitly()) && (life > 0 || validator || r.allowsStale())
}

// allowsStale reports whether the answer itself may be used stale (RFC 5861), for which it is worth
// storing even if it is stale at once.
func (r *Response) allowsStale() bool {
	revive, rescue := r.Stale(&Options{})
	return !r.NoCache && revive+rescue > 0
}

// explicitly reports whether the answer itself says something about being stored.
func (r *Response) explicitly() bool {
	return r.Public || r.MaxAge >= 0 || r.SMaxAge >= 0 || r.Expires != 0 || r.ExpiresBad || r.NoCache
}

// Lifetime returns for how long the answer is fresh from when it was made (section 4.2.1); ok is false
// when nothing says so.
func (r *Response) Lifetime(o *Options) (life int64, ok bool) {
	byStatus, said := o.ByStatus.Of(r.Status)
	switch {
	case r.SMaxAge >= 0:
		life = r.SMaxAge * 1000
	case r.MaxAge >= 0:
		life = r.MaxAge * 1000
	case r.ExpiresBad: // it has passed
	case r.Expires != 0:
		date := r.Date
		if date == 0 {
			date = r.Came
		}
		life = max(r.Expires-date, 0)
	case said:
		return byStatus, byStatus > 0
	case o.Heuristic && r.Modified != 0 && r.guessed():
		date := r.Date
		if date == 0 {
			date = r.Came
		}
		life = min(max(date-r.Modified, 0)/10, mostHeuristic)
	case o.Default > 0 && r.guessed():
		life = o.Default
	default:
		return 0, false
	}
	life = max(life, o.Min)
	if o.Max > 0 {
		life = min(life, o.Max)
	}
	return life, true
}

// guessed reports whether a lifetime may be assumed where none is said: for the statuses of RFC 9110 section
// 15.1, and for what is marked as public (section 4.2.2).
func (r *Response) guessed() bool { return heuristic(r.Status) || r.Public }

// mostHeuristic bounds what is guessed: a day in milliseconds.
const mostHeuristic = 24 * 3600 * 1000

// InitialAge returns how old the answer was when it came (section 4.2.3).
func (r *Response) InitialAge() int64 {
	apparent := int64(0)
	if r.Date != 0 {
		apparent = max(r.Came-r.Date, 0)
	}
	return max(apparent, r.Age*1000+max(r.Came-r.Asked, 0))
}

// Strict reports whether the answer is never used stale (sections 5.2.2.2, 5.2.2.8 and 5.2.2.10).
func (r *Response) Strict() bool {
	return r.MustRevalidate || r.ProxyRevalidate || r.SMaxAge >= 0
}

// Stale returns for how long after its lifetime the answer is used while it is fetched anew, and when
// that fails (RFC 5861). With s-maxage, which forbids it by itself, the answer has to say so. So has an
// error: an old one is not better than a new one.
func (r *Response) Stale(o *Options) (revive, rescue int64) {
	if r.MustRevalidate || r.ProxyRevalidate {
		return 0, 0
	}
	if r.SMaxAge < 0 && !IsError(r.Status) {
		revive, rescue = o.Revive, o.Rescue
	}
	if r.StaleWhileRevalidate >= 0 {
		revive = r.StaleWhileRevalidate * 1000
	}
	if r.StaleIfError >= 0 {
		rescue = r.StaleIfError * 1000
	}
	return revive, rescue
}

// Use is what may be done with a stored answer.
type Use uint8

// The uses.
const (
	Fresh  Use = iota // it is the answer
	Stale             // so it is, since the client takes it stale
	Revive            // so it is, and it is fetched anew meanwhile
	Ask               // the target has to be asked first
)

// Decide returns what may be done with an answer of an age, given its lifetime and revive; strict and ask
// are of the answer: never stale, and never without asking. q are the directives of the request
// (section 5.2.1).
func Decide(age, lifetime, revive int64, strict, ask bool, q *Directives) Use {
	if ask || q.NoCache || q.MaxAge >= 0 && age > q.MaxAge*1000 {
		return Ask
	}
	if q.MinFresh >= 0 && lifetime-age < q.MinFresh*1000 {
		return Ask
	}
	switch over := age - lifetime; {
	case over < 0:
		return Fresh
	case !strict && q.MaxStale >= 0 && over <= q.MaxStale*1000:
		return Stale
	case over <= revive && revive > 0 && q.MaxAge < 0 && q.MinFresh < 0:
		return Revive
	}
	return Ask
}
