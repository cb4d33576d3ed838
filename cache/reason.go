package cache

import "github.com/penstock-edge/penstock/cache/fresh"

// reason is why an answer is not from the cache, or not stored there.
type reason uint8

const (
	noReason reason = iota

	// Nothing can be used.
	absent
	tooOld
	wasPurged
	askedAnew
	otherFields

	// The request is none for a cache.
	method
	withBody
	largeBody
	withTrailer
	upgrade
	requestNoStore
	withCookie

	// It is passed on, or waits for nobody.
	partOnly
	tooManyFetches
	authorizedPart
	known
	waitedTooLong
	notForAll
	otherVariant
	forgotten

	// The answer is not to be stored.
	local
	besideCopy
	tooLarge
	tooManyTags
	notStorable // plus a fresh.Reason
	reasons     = notStorable + reason(fresh.Reasons)
)

// reasonTexts are a word for Cache-Status and metrics, and what explain says.
var reasonTexts = [notStorable + 1][2]string{
	noReason:       {"", ""},
	absent:         {"absent", "nothing is stored for it"},
	tooOld:         {"stale", "what is stored is stale"},
	wasPurged:      {"purged", "what was stored has been purged"},
	askedAnew:      {"request", "the request wants it fresher than what is stored"},
	otherFields:    {"vary", "what is stored is for other values of the fields in Vary"},
	method:         {"method", "only answers to GET are stored, and used for GET and HEAD"},
	withBody:       {"body", "the request has a body, which is not in the key"},
	largeBody:      {"body_too_large", "its body is larger than max_key_body, up to which it is in the key"},
	withTrailer:    {"trailer", "trailers come behind its body, and are not in the key"},
	upgrade:        {"upgrade", "the request wants another protocol"},
	requestNoStore: {"request_no_store", "the request has Cache-Control: no-store"},
	withCookie: {"cookie", `the request has a cookie; cookies = "ignore" takes them out, key_cookies makes ` +
		"some a part of the key"},
	partOnly:       {"part", "a part or the head is asked for, nothing is stored, and fetch_whole = false"},
	tooManyFetches: {"too_many_fetches", "a quarter of size is being fetched already"},
	authorizedPart: {"authorized_part", "a part or the head is asked for with Authorization, none is stored"},
	known:          {"known", "an answer to the same was not to be stored a moment ago"},
	waitedTooLong:  {"waited", "it has waited for another request's fetch for wait_timeout"},
	notForAll:      {"not_for_all", "the answer to the request it waited for is not to be stored"},
	otherVariant:   {"other_variant", "the answer it waited for is for other values of the fields in Vary"},
	forgotten:      {"forgotten", "what was stored had to go meanwhile"},
	local:          {"local", "the gateway itself has answered"},
	besideCopy:     {"error", "it is an error, beside which what is stored is kept"},
	tooLarge:       {"too_large", "its body is larger than max_object"},
	tooManyTags: {"too_many_tags", "it has more tags than are known of an answer, so that not each of them " +
		"would purge it"},
}

// word returns the reason in a word.
func (r reason) word() string {
	if r >= notStorable {
		return fresh.Reason(r - notStorable).String()
	}
	return reasonTexts[r][0]
}

// text returns the reason in a sentence.
func (r reason) text() string {
	if r >= notStorable {
		return fresh.Reason(r - notStorable).Text()
	}
	return reasonTexts[r][1]
}
