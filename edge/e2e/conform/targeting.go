package conform

import "slices"

// Fields of answers that come up again and again.
const (
	forAll    = "Cache-Control: max-age=100"
	forNobody = "Cache-Control: no-store"
)

// targeting are the rows of RFC 9213.
var targeting = slices.Concat(targets, targetSyntax, targetDirectives)

var targets = []Check{
	{"9213", "2.2", "MUST", "store or not by the targeted field, against Cache-Control", func(c *Case) {
		c.wantStored("/a", nil, "CDN-Cache-Control: max-age=100", forNobody)
		c.wantStored("/b", nil, "Cache-Control: private, max-age=0", "CDN-Cache-Control: max-age=100")
		c.wantNotStored("/c", nil, "CDN-Cache-Control: no-store", forAll)
	}},
	{"9213", "2.2", "MUST", "ignore Expires beside a targeted field", func(c *Case) {
		c.wantStored("/a", nil, "CDN-Cache-Control: max-age=100", "Expires: "+modified)
		c.wantNotStored("/b", nil, "CDN-Cache-Control: max-age=0, must-revalidate",
			"Expires: Fri, 01 Jan 2100 10:00:00 GMT")
	}},
	{"9213", "2.2", "MUST",
		"take the field that is its own before the one for all delivery networks", func(c *Case) {
			c.wantStored("/a", nil, "CDN-Cache-Control: no-store", "Penstock-Cache-Control: max-age=100", forNobody)
			c.wantNotStored("/b", nil, "CDN-Cache-Control: max-age=100", "Penstock-Cache-Control: no-store", forAll)
		}},
	{"9213", "2.2", "MUST", "take the next field when the first is not valid", func(c *Case) {
		c.wantStored("/a", nil, "Penstock-Cache-Control: no-store, =", "CDN-Cache-Control: max-age=100", forNobody)
		c.wantNotStored("/b", nil, "Penstock-Cache-Control: max-age=100, =", "CDN-Cache-Control: no-store", forAll)
	}},
	{"9213", "2.2", "MUST NOT", "change anything for a targeted field of somebody else", func(c *Case) {
		c.wantStored("/a", nil, "Other-Cache-Control: no-store", forAll)
		c.wantNotStored("/b", nil, "Other-Cache-Control: max-age=100", forNobody)
	}},
	{"9213", "2.2", "MUST", "pass a targeted field of somebody else on", func(c *Case) {
		first := c.keep("/a", "Other-Cache-Control: no-store", forAll)
		for _, r := range []Reply{first, c.asks("/a", 200, digits)} {
			if r.Header.Get("Other-Cache-Control") != "no-store" {
				c.Errorf("%v", r.Header)
			}
		}
	}},
	{"9213", "3", "is", "pass CDN-Cache-Control on to caches behind", func(c *Case) {
		first := c.keep("/a", "CDN-Cache-Control: max-age=100", forAll)
		for _, r := range []Reply{first, c.asks("/a", 200, digits)} {
			if r.Header.Get("CDN-Cache-Control") != "max-age=100" || r.Header.Get("Cache-Control") != "max-age=100" {
				c.Errorf("%v", r.Header)
			}
		}
	}},
	{"9213", "3", "MAY", "take the field that is its own out", func(c *Case) {
		first := c.keep("/a", "Penstock-Cache-Control: max-age=100", forAll)
		for _, r := range []Reply{first, c.asks("/a", 200, digits)} {
			if r.Header.Get("Penstock-Cache-Control") != "" {
				c.Errorf("%v", r.Header)
			}
		}
	}},
	{"9213", "2.3", "is", "count the age of an answer against the targeted lifetime", func(c *Case) {
		c.wantNotStored("/old", nil, "CDN-Cache-Control: max-age=100", "Age: 200", "Cache-Control: max-age=1000")
		c.wantStored("/young", nil, "CDN-Cache-Control: max-age=100", "Age: 50", "Cache-Control: max-age=10")
	}},
}

var targetSyntax = []Check{
	{"9213", "2.1", "MUST", "ignore a targeted field that is no dictionary", func(c *Case) {
		for i, v := range []string{"max-age=100,", "max-age=100, =", "max-age=100 public", `max-age=100, x="`,
			"Max-Age=100", "max-age=100; =", "max-age=100, 1"} {
			c.wantNotStored("/a"+string(rune('0'+i)), nil, "CDN-Cache-Control: "+v, forNobody)
		}
		c.wantStored("/b", nil, "CDN-Cache-Control: no-store,", forAll)
		c.wantStored("/c", nil, "CDN-Cache-Control: No-Store", forAll)
	}},
	{"9213", "2.1", "MUST", "ignore a targeted field that is empty", func(c *Case) {
		c.wantStored("/a", nil, "CDN-Cache-Control: ", forAll)
		c.wantNotStored("/b", nil, "CDN-Cache-Control: ", forNobody)
	}},
	{"9213", "2.1", "MUST", "read several lines as one field, which one bad line spoils", func(c *Case) {
		c.wantStored("/a", nil, "CDN-Cache-Control: public", "CDN-Cache-Control: max-age=100", forNobody)
		c.wantNotStored("/b", nil, "CDN-Cache-Control: max-age=100", "CDN-Cache-Control: =", forNobody)
	}},
	{"9213", "2.1", "is", "ignore the parameters of directives", func(c *Case) {
		c.wantStored("/a", nil, `CDN-Cache-Control: max-age=100;x="no-store, y";no-store, public;max-age=0`,
			forNobody)
		c.wantNotStored("/b", nil, "CDN-Cache-Control: no-store;x=1, max-age=100", forAll)
	}},
	{"9213", "2.1", "is", "take the last of two values of a directive", func(c *Case) {
		c.wantStored("/a", nil, "CDN-Cache-Control: max-age=0, max-age=100", forNobody)
		c.wantNotStored("/b", nil, "CDN-Cache-Control: max-age=100, max-age=0", forAll)
	}},
	{"9213", "2.1", "SHOULD NOT", "read a number where the value is of another type", func(c *Case) {
		c.wantNotStored("/decimal", nil, "CDN-Cache-Control: max-age=100.5", forNobody)
		c.wantNotStored("/string", nil, `CDN-Cache-Control: max-age="100"`, forNobody)
	}},
}

var targetDirectives = []Check{
	{"9213", "2.2", "MUST",
		"obey no-store, no-cache and private in a targeted field, whatever max-age says", func(c *Case) {
			c.wantNotStored("/c", nil, "CDN-Cache-Control: max-age=100, no-store", forAll)
			c.wantNotStored("/d", nil, "CDN-Cache-Control: private, max-age=100", forAll)
			c.wantNotStored("/a", nil, "CDN-Cache-Control: no-cache, max-age=100", forAll)
			c.wantNotStored("/b", nil, "CDN-Cache-Control: max-age=100, no-cache", forAll, `ETag: "v1"`)
		}},
	{"9213", "2.2", "MUST", "obey max-age in a targeted field", func(c *Case) {
		c.wantStored("/long", nil, "CDN-Cache-Control: max-age=100", "Cache-Control: max-age=10", "Age: 50")
		c.wantNotStored("/short", nil, "CDN-Cache-Control: max-age=10", "Cache-Control: max-age=100", "Age: 50")
	}},
	{"9213", "2.2", "MUST", "obey must-revalidate in a targeted field", func(c *Case) {
		c.fails("/a", "CDN-Cache-Control: max-age=10, stale-if-error=100, must-revalidate", "Age: 20", forAll)
		if r := c.Get("/a"); r.Status < 500 {
			c.Errorf("%d %q", r.Status, r.Body)
		}
	}},
	{"9213", "2.2", "SHOULD", "obey the other directives that it knows in a targeted field", func(c *Case) {
		c.wantStored("/shared", nil, "CDN-Cache-Control: s-maxage=100, max-age=0", forNobody)
		c.fails("/rescued", "CDN-Cache-Control: max-age=10, stale-if-error=100", "Age: 20",
			"Cache-Control: max-age=10")
		c.Want("stale-if-error", c.Get("/rescued"), 200, digits)
		c.keep("/revived", "CDN-Cache-Control: max-age=10, stale-while-revalidate=100", "Age: 20",
			"Cache-Control: max-age=10")
		c.On("/revived", "new", forAll)
		c.Want("stale-while-revalidate", c.Get("/revived"), 200, digits)
	}},
}
