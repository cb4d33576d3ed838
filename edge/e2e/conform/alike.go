package conform

import (
	"fmt"
	"net/http"
	"strings"
)

// alike are the rows on requests that say the same in other words, and on what one client says for others.
var alike = []Check{
	{"9110", "4.2.3", "is", "take a host in any case, with the usual port or not, for one", func(c *Case) {
		c.On("/a", digits, forAll)
		for _, host := range []string{"same.example", "SAME.example", "same.example:80", "Same.Example:80"} {
			c.Want(host, c.Get("/a", "Host: "+host), 200, digits)
		}
		c.WantAsked("/a", 1)
	}},
	{"9111", "4.1", "MAY", "take preferences in Vary that say the same for one", func(c *Case) {
		for field, values := range map[string][]string{
			"Accept-Language": {"de,en;q=0.8", "DE, en;q=0.80", "en;q=0.8, de;q=1"},
			"Accept":          {"text/html, */*;q=0.1", "Text/HTML;q=1.0,*/*; q=0.1"},
			"Accept-Charset":  {"utf-8", "UTF-8"}} {
			path := "/" + field
			c.On(path, digits, forAll, "Vary: "+field)
			for _, v := range values {
				c.Want(v, c.Get(path, field+": "+v), 200, digits)
			}
			c.WantAsked(path, 1)
		}
	}},
	{"9111", "7.1", "is", "let no field that is in no key decide what others get", func(c *Case) {
		for i, name := range []string{"X-Original-URL", "X-Rewrite-URL", "X-Original-Uri", "X-HTTP-Host-Override",
			"Forwarded-Host", "X-Scheme", "Proxy", "X-HTTP-Method-Override", "X-Forwarded-Host",
			"X-Forwarded-Prefix", "X-Real-IP", "Forwarded", "True-Client-IP", "Destination"} {
			path := fmt.Sprint("/", i)
			c.Do(path, echo(name, forAll))
			c.Get(path, name+": evil")
			if r := c.Get(path); strings.Contains(r.Body, "evil") {
				c.Errorf("%s: %q", name, r.Body)
			}
		}
	}},
	{"9110", "12.5.3", "MUST NOT", "use what is encoded for who does not accept that coding", func(c *Case) {
		both := map[string][]string{"/vary": {forAll, "Vary: Accept-Encoding"}, "/silent": {forAll}}
		for path, fields := range both {
			c.Do(path, inGzip(fields...))
			c.Want("gzip", c.Get(path, "Accept-Encoding: gzip"), 200, "in gzip")
			for _, accept := range []string{"br", "gzip;q=0", "identity", "*, gzip;q=0"} {
				if r := c.Get(path, "Accept-Encoding: "+accept); r.Header.Get("Content-Encoding") != "" {
					c.Errorf("%s %s: %q", path, accept, r.Body)
				}
			}
			if r := c.Get(path); r.Header.Get("Content-Encoding") != "" {
				c.Errorf("%s: %q", path, r.Body)
			}
		}
	}},
	{"9110", "12.5.3", "is", "use what is encoded for all who accept that coding", func(c *Case) {
		c.Do("/a", inGzip(forAll, "Vary: Accept-Encoding"))
		for _, accept := range []string{"gzip, deflate, br, zstd", "gzip", "br, GZIP", "gzip;q=0.5"} {
			c.Want(accept, c.Get("/a", "Accept-Encoding: "+accept), 200, "in gzip")
		}
		c.WantAsked("/a", 1)
	}},
	{"9110", "12.5.3", "is", "not serve for all what was not encoded for who accepts little", func(c *Case) {
		c.Do("/a", inGzip(forAll, "Vary: Accept-Encoding"))
		c.Want("none", c.Get("/a"), 200, "plain")
		c.Want("gzip", c.Get("/a", "Accept-Encoding: gzip, br"), 200, "in gzip")
		c.Want("none", c.Get("/a"), 200, "plain")
		c.Want("gzip", c.Get("/a", "Accept-Encoding: gzip"), 200, "in gzip")
		c.WantAsked("/a", 2)
	}},
}

// inGzip answers in gzip where that is accepted, in words.
func inGzip(fields ...string) func(*http.Request) Answer {
	return func(r *http.Request) Answer {
		accept := r.Header.Get("Accept-Encoding")
		if strings.Contains(strings.ToLower(accept), "gzip") && !strings.HasSuffix(accept, "gzip;q=0") {
			return Answer{Body: "in gzip", Fields: append([]string{"Content-Encoding: gzip"}, fields...)}
		}
		return Answer{Body: "plain", Fields: fields}
	}
}
