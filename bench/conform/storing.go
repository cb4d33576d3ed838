package conform

// storing are the rows of RFC 9111 section 3.
var storing = []Check{
	{"9111", "3", "is", "an answer with explicit freshness is used again", func(c *Case) {
		c.wantStored("/a", nil, "Cache-Control: max-age=100")
	}},
	{"9111", "3", "MUST NOT", "store against no-store", func(c *Case) {
		c.wantNotStored("/a", nil, "Cache-Control: no-store, max-age=100")
		c.wantNotStored("/b", nil, "Cache-Control: max-age=100", "Cache-Control: no-store")
	}},
	{"9111", "3.3", "MUST NOT", "take an answer that broke off for whole", func(c *Case) {
		for _, chunked := range []bool{false, true} {
			path := map[bool]string{false: "/length", true: "/chunked"}[chunked]
			c.Do(path, cut(chunked))
			for range 2 {
				if r := c.Get(path); r.Err == nil && r.Status == 200 {
					c.Errorf("%s: %d bytes of 10000 as a whole answer", path, len(r.Body))
				}
			}
			if n := len(c.Asked(path)); n < 2 {
				c.Errorf("%s: half an answer was used again", path)
			}
		}
	}},
}
