package fresh

// IsDictionary says whether the value of a field is a dictionary with a member at least (RFC 9651 section
// 3.2): a targeted field that is none does not count (RFC 9213 section 2.1).
func IsDictionary(b []byte) bool {
	p := &parser{b: b}
	p.skip(" ")
	if len(p.b) == 0 {
		return false
	}
	for {
		if !p.key() {
			return false
		}
		if p.take('=') {
			if !p.member() {
				return false
			}
		}
		if !p.parameters() {
			return false
		}
		p.skip(" \t")
		if len(p.b) == 0 {
			return true
		}
		if !p.take(',') {
			return false
		}
		p.skip(" \t")
	}
}

// parser takes parts of a structured field off the beginning of b.
type parser struct{ b []byte }

func (p *parser) take(c byte) bool {
	if len(p.b) == 0 || p.b[0] != c {
		return false
	}
	p.b = p.b[1:]
	return true
}

func (p *parser) skip(set string) {
	p.while(func(c byte) bool {
		for i := range len(set) {
			if set[i] == c {
				return true
			}
		}
		return false
	})
}

// while takes bytes as long as they are in a set, and returns how many.
func (p *parser) while(in func(c byte) bool) int {
	n := 0
	for n < len(p.b) && in(p.b[n]) {
		n++
	}
	p.b = p.b[n:]
	return n
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }
func isAlpha(c byte) bool { return isLower(c | 0x20) }

func (p *parser) key() bool {
	if len(p.b) == 0 || !isLower(p.b[0]) && p.b[0] != '*' {
		return false
	}
	p.while(func(c byte) bool {
		return isLower(c) || isDigit(c) || c == '_' || c == '-' || c == '.' || c == '*'
	})
	return true
}

func (p *parser) parameters() bool {
	for p.take(';') {
		p.skip(" ")
		if !p.key() || p.take('=') && !p.item() {
			return false
		}
	}
	return true
}

// member takes an item or a list of items in parentheses. Its parameters are taken by who calls.
func (p *parser) member() bool {
	if !p.take('(') {
		return p.item()
	}
	for {
		p.skip(" ")
		if p.take(')') {
			return true
		}
		if !p.item() || !p.parameters() {
			return false
		}
		if len(p.b) == 0 || p.b[0] != ' ' && p.b[0] != ')' {
			return false
		}
	}
}

func (p *parser) item() bool {
	if len(p.b) == 0 {
		return false
	}
	switch c := p.b[0]; {
	case c == '"':
		p.b = p.b[1:]
		return p.text()
	case c == ':':
		p.b = p.b[1:]
		p.while(func(c byte) bool { return isAlpha(c) || isDigit(c) || c == '+' || c == '/' || c == '=' })
		return p.take(':')
	case c == '?':
		p.b = p.b[1:]
		return p.take('0') || p.take('1')
	case c == '@':
		p.b = p.b[1:]
		return p.number(false)
	case c == '-' || isDigit(c):
		return p.number(true)
	case isAlpha(c) || c == '*':
		p.while(isTokenByte)
		return true
	}
	return false
}

// text takes the rest of a string.
func (p *parser) text() bool {
	for len(p.b) > 0 {
		c := p.b[0]
		p.b = p.b[1:]
		switch {
		case c == '"':
			return true
		case c == '\\':
			if !p.take('"') && !p.take('\\') {
				return false
			}
		case c < ' ' || c > '~':
			return false
		}
	}
	return false
}

// number takes an integer, or a decimal where that is allowed.
func (p *parser) number(decimal bool) bool {
	p.take('-')
	whole := p.while(isDigit)
	if whole == 0 || whole > 15 {
		return false
	}
	if !decimal || !p.take('.') {
		return true
	}
	part := p.while(isDigit)
	return whole <= 12 && part >= 1 && part <= 3
}

func isTokenByte(c byte) bool {
	if isAlpha(c) || isDigit(c) {
		return true
	}
	const marks = "!#$%&'*+-.^_`|~:/"
	for i := range len(marks) {
		if marks[i] == c {
			return true
		}
	}
	return false
}
