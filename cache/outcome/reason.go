package outcome

import "github.com/penstock-edge/penstock/cache/fresh"

// Reason is why an answer is not from the cache, or not stored there.
type Reason uint8

// The reasons. None stands for none; those from NotStorable on are the ones of package fresh.
const (
	None Reason = iota

	// Nothing can be used.
	Absent
	TooOld
	Purged
	AskedAnew
	OtherFields

	// The request is none for a cache.
	Method
	WithBody
	LargeBody
	WithTrailer
	Upgrade
	RequestNoStore
	WithCookie

	// It is passed on, or waits for nobody.
	PartOnly
	TooManyFetches
	AuthorizedPart
	Known
	WaitedTooLong
	NotForAll
	OtherVariant
	Forgotten

	// The answer is not to be stored.
	Local
	BesideCopy
	TooLarge
	TooManyTags
	NotStorable // plus a fresh.Reason
	Reasons     = NotStorable + Reason(fresh.Reasons)
)

// reasonTexts are a word for Cache-Status and metrics, and what explain says.
var reasonTexts = [NotStorable + 1][2]string{
	None:           {"", ""},
	Absent:         {"absent", "nothing is stored for it"},
	TooOld:         {"stale", "what is stored is stale"},
	Purged:         {"purged", "what was stored has been purged"},
	AskedAnew:      {"request", "the request wants it fresher than what is stored"},
	OtherFields:    {"vary", "what is stored is for other values of the fields in Vary"},
	Method:         {"method", "only answers to GET are stored, and used for GET and HEAD"},
	WithBody:       {"body", "the request has a body, which is not in the key"},
	LargeBody:      {"body_too_large", "its body is larger than max_key_body, up to which it is in the key"},
	WithTrailer:    {"trailer", "trailers come behind its body, and are not in the key"},
	Upgrade:        {"upgrade", "the request wants another protocol"},
	RequestNoStore: {"request_no_store", "the request has Cache-Control: no-store"},
	WithCookie: {"cookie", `the request has a cookie; cookies = "ignore" takes them out, key_cookies makes ` +
		"some a part of the key"},
	PartOnly:       {"part", "a part or the head is asked for, nothing is stored, and fetch_whole = false"},
	TooManyFetches: {"too_many_fetches", "a quarter of size is being fetched already"},
	AuthorizedPart: {"authorized_part", "a part or the head is asked for with Authorization, none is stored"},
	Known:          {"known", "an answer to the same was not to be stored a moment ago"},
	WaitedTooLong:  {"waited", "it has waited for another request's fetch for wait_timeout"},
	NotForAll:      {"not_for_all", "the answer to the request it waited for is not to be stored"},
	OtherVariant:   {"other_variant", "the answer it waited for is for other values of the fields in Vary"},
	Forgotten:      {"forgotten", "what was stored had to go meanwhile"},
	Local:          {"local", "the gateway itself has answered"},
	BesideCopy:     {"error", "it is an error, beside which what is stored is kept"},
	TooLarge:       {"too_large", "its body is larger than max_object"},
	TooManyTags: {"too_many_tags", "it has more tags than are known of an answer, so that not each of them " +
		"would purge it"},
}

// Word returns the reason in a word.
func (r Reason) Word() string {
	if r >= NotStorable {
		return fresh.Reason(r - NotStorable).String()
	}
	return reasonTexts[r][0]
}

// Text returns the reason in a sentence.
func (r Reason) Text() string {
	if r >= NotStorable {
		return fresh.Reason(r - NotStorable).Text()
	}
	return reasonTexts[r][1]
}
