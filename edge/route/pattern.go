package route

import (
	"regexp"
	"strconv"
	"strings"
)

const (
	maxParams   = 16 // parameters a pattern may have: Match has room for as many
	maxSegments = 64 // segments a pattern may have: bounds the depth of a walk
)

// pattern is a parsed path with parameters.
type pattern struct {
	segments    []segment
	names       []string // of the parameters, from left to right
	shape       string   // the pattern without the names: equal shapes match equal paths
	literals    int      // bytes of literal text, slashes included
	constrained int      // parameters with an expression of their own
	optional    bool     // the last segment may be missing together with its slash
	tail        bool     // the last segment takes the whole rest of the path
}

// segment is what stands between two slashes of a pattern.
type segment struct {
	kind    segmentKind
	shape   string   // the segment's text without names; of a literal its canonical text
	matcher *matcher // of a mixed segment
}

type segmentKind byte

const (
	literalSegment segmentKind = iota
	freeSegment                // {name}
	mixedSegment               // text around parameters, or parameters with an expression
	tailSegment                // {name:*}
)

// expressions compiles each regular expression once, however many patterns use it.
type expressions map[string]*regexp.Regexp

// compile returns expr as an expression that has to match a whole value.
func (e expressions) compile(expr string) (*regexp.Regexp, error) {
	if re, ok := e[expr]; ok {
		return re, nil
	}
	if _, err := regexp.Compile(expr); err != nil {
		return nil, err
	}
	re, err := regexp.Compile(`\A(?:` + expr + `)\z`)
	if err != nil {
		return nil, err
	}
	e[expr] = re
	return re, nil
}

// parsePattern parses a path that has parameters. The message is empty if all is well.
func parsePattern(path string, exprs expressions) (p pattern, message string) {
	texts, message := splitPattern(path)
	if message != "" {
		return p, message
	}
	p.segments = make([]segment, 0, len(texts))
	var skeleton, shape strings.Builder
	skeleton.Grow(len(path))
	shape.Grow(len(path))
	for i, text := range texts {
		seg, message := p.parseSegment(text, i == len(texts)-1, exprs, &skeleton)
		if message != "" {
			return p, message
		}
		p.segments = append(p.segments, seg)
		shape.WriteByte('/')
		shape.WriteString(seg.shape)
	}
	if p.optional {
		shape.WriteByte('?')
	}
	p.shape = shape.String()
	p.literals += len(texts)
	p.tail = p.segments[len(texts)-1].kind == tailSegment
	return p, p.check(skeleton.String())
}

// ParamNames returns the names of the parameters of a rule's path, from left to right: Match.ParamAt has
// their values. The path may be empty. It is not ok when no table takes it.
func ParamNames(path string) (names []string, ok bool) {
	switch {
	case path == "":
		return nil, true
	case !strings.ContainsAny(path, "{}"):
		_, err := Canonical(nil, []byte(path))
		return nil, err == nil
	}
	p, message := parsePattern(path, expressions{})
	return p.names, message == ""
}

// check looks at the pattern as a whole. The skeleton has an x in place of every parameter, so
// that a bad escape or a dot segment in the literal text shows up as it would in a request.
func (p *pattern) check(skeleton string) string {
	switch {
	case len(p.names) > maxParams:
		return "more than " + strconv.Itoa(maxParams) + " parameters"
	case len(p.segments) > maxSegments:
		return "more than " + strconv.Itoa(maxSegments) + " segments"
	}
	for i, name := range p.names {
		for _, other := range p.names[:i] {
			if name == other {
				return "parameter " + quote(name) + " is named twice"
			}
		}
	}
	var scratch [256]byte
	if _, err := Canonical(scratch[:0], []byte(skeleton)); err != nil {
		return err.Reason
	}
	return ""
}

// splitPattern cuts path at the slashes outside of braces.
func splitPattern(path string) (texts []string, message string) {
	if path == "" || path[0] != '/' {
		return nil, ErrPathStart.Reason
	}
	texts = make([]string, 0, strings.Count(path, "/"))
	depth, start := 0, 1
	for i := 1; i < len(path); i++ {
		switch c := path[i]; {
		case c == '{':
			depth++
		case c == '}' && depth == 0:
			return nil, "closing brace without an opening one"
		case c == '}':
			depth--
		case c == '/' && depth == 0:
			texts = append(texts, path[start:i])
			start = i + 1
		}
	}
	if depth > 0 {
		return nil, "opening brace without a closing one"
	}
	return append(texts, path[start:]), ""
}

// parseSegment parses one segment and appends its part of the skeleton.
func (p *pattern) parseSegment(
	text string, last bool, exprs expressions, skeleton *strings.Builder,
) (seg segment, message string) {
	skeleton.WriteByte('/')
	if strings.IndexByte(text, '{') < 0 {
		skeleton.WriteString(text)
		seg.shape = normalText(text)
		p.literals += len(seg.shape)
		if isDots([]byte(seg.shape)) {
			return seg, "dot segments are not allowed in a pattern"
		}
		return seg, ""
	}
	m := &matcher{}
	for text != "" {
		open := strings.IndexByte(text, '{')
		if open < 0 {
			open = len(text)
		}
		skeleton.WriteString(text[:open])
		lit := normalText(text[:open])
		m.addText(lit)
		p.literals += len(lit)
		if text = text[open:]; text == "" {
			break
		}
		end := closingBrace(text)
		param, message := p.parseParam(text[1:end], exprs)
		if message != "" {
			return seg, message
		}
		if message = m.addParam(param); message != "" {
			return seg, message
		}
		skeleton.WriteByte('x')
		text = text[end+1:]
	}
	return p.finish(m, last)
}

// normalText returns literal text with its escapes in normal form. What is wrong with it shows up
// when the skeleton is checked.
func normalText(text string) string {
	if isCanonical([]byte(text)) {
		return text
	}
	normal, _ := appendEscapes(nil, []byte(text))
	return string(normal)
}

// closingBrace returns where the parameter that text starts with ends. The braces are balanced.
func closingBrace(text string) int {
	depth := 0
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	panic("BUG: splitPattern let an open brace through")
}

// param is one parameter of a pattern.
type param struct {
	expr     string // "": any text; "*": the rest of the path
	re       *regexp.Regexp
	optional bool
}

// parseParam parses what stands between the braces: name, name?, name:expression, name?:expression.
func (p *pattern) parseParam(text string, exprs expressions) (q param, message string) {
	name, expr, constrained := strings.Cut(text, ":")
	name, q.optional = strings.CutSuffix(name, "?")
	if !paramName(name) {
		return q, "parameter name " + quote(name) + " must be letters, digits, hyphens and underscores"
	}
	p.names = append(p.names, name)
	if !constrained {
		return q, ""
	}
	if q.expr = expr; expr == "*" {
		return q, ""
	}
	if expr == "" {
		return q, "parameter " + quote(name) + " has an empty expression"
	}
	re, err := exprs.compile(expr)
	if err != nil {
		return q, "parameter " + quote(name) + ": " + err.Error()
	}
	q.re = re
	p.constrained++
	return q, ""
}

// finish classifies a segment that has parameters.
func (p *pattern) finish(m *matcher, last bool) (seg segment, message string) {
	whole := len(m.params) == 1 && len(m.prefix)+len(m.suffix) == 0
	for _, q := range m.params {
		switch {
		case q.expr == "*" && !(whole && last && !q.optional):
			return seg, "a catch-all parameter must be the whole last segment, and is never optional"
		case q.optional && !(whole && last):
			return seg, "an optional parameter must be the whole last segment"
		case q.optional:
			p.optional = true
		}
	}
	switch {
	case whole && m.params[0].expr == "":
		return segment{kind: freeSegment, shape: "{}"}, ""
	case whole && m.params[0].expr == "*":
		return segment{kind: tailSegment, shape: "{:*}"}, ""
	}
	return segment{kind: mixedSegment, shape: m.shape(), matcher: m}, ""
}

func paramName(name string) bool {
	for i := range len(name) {
		if c := name[i]; !unreserved(c) || c == '.' || c == '~' {
			return false
		}
	}
	return name != ""
}

// variants returns the lists of segments a path may have: one, or two if the last is optional.
func (p *pattern) variants() [][]segment {
	if !p.optional {
		return [][]segment{p.segments}
	}
	return [][]segment{p.segments, p.short()}
}

// short returns the segments without the optional last one.
func (p *pattern) short() []segment {
	if len(p.segments) == 1 {
		return []segment{{}} // "/{name?}" also takes "/"
	}
	return p.segments[:len(p.segments)-1]
}
