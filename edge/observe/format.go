package observe

import (
	"slices"
	"strings"
)

// combined is the combined log format, followed by what it lacks. The user is not known to a gateway.
const combined = `{client} - - [{time_clf}] "{request}" {status} {response_bytes}` +
	` "{referer}" "{user_agent}"` +
	` request_id={request_id} route={route} pool={pool} target={target} code={code}` +
	` seconds={seconds} head={seconds_head} policy={seconds_policy} connect={seconds_connect}` +
	` wait={seconds_wait} body={seconds_body}`

// format is a compiled log format: for each part its text, then the value of its field; at last the tail.
type format struct {
	parts []part
	tail  string
	json  bool // values are written as JSON, else as the combined format has them
}

type part struct {
	text  string
	field field
}

func (f *format) append(dst []byte, e *entry) []byte {
	for i := range f.parts {
		p := &f.parts[i]
		dst = append(dst, p.text...)
		dst = e.append(dst, p.field, f.json)
	}
	return append(dst, f.tail...)
}

func formatName(s string) string {
	if s == "json" || s == "combined" {
		return s
	}
	return "template"
}

// compile returns the format that the file asks for; nil when it is wrong, which is then recorded.
func compile(c *Config) *format {
	switch {
	case c.Format == "json":
		return jsonFormat(c.Query)
	case c.Format == "combined":
		f, _ := parse(combined) // all its fields exist: a test says so
		return f
	case !strings.ContainsAny(c.Format, "{}"):
		c.Table.Unknown("format", "log format (a template has {field}s)", c.Format, []string{"json", "combined"})
		return nil
	}
	f, bad := parse(c.Format)
	switch {
	case bad.unknown != "":
		c.Table.Unknown("format", "field", bad.unknown, fieldNames[:])
		return nil
	case bad.text != "":
		c.Table.Errorf("format", "%s", bad.text)
		return nil
	case !c.Query && slices.ContainsFunc(f.parts, func(p part) bool { return p.field == fieldQuery }):
		c.Table.Errorf("format", "{query} needs query = true: query strings may hold secrets")
		return nil
	}
	return f
}

// jsonFormat is an object of all fields but those that repeat others.
func jsonFormat(query bool) *format {
	f := &format{json: true, tail: "}"}
	for i, name := range fieldNames {
		fd := field(i)
		if fd == fieldTimeCLF || fd == fieldRequest || fd == fieldQuery && !query {
			continue
		}
		sep := `,"`
		if len(f.parts) == 0 {
			sep = `{"`
		}
		f.parts = append(f.parts, part{sep + name + `":`, fd})
	}
	return f
}

// mistake is what is wrong with a template.
type mistake struct {
	unknown string // a field that does not exist
	text    string // anything else
}

// parse compiles a template: {field} is a value, {{ and }} are braces, all else stands for itself.
func parse(s string) (*format, mistake) {
	f := &format{}
	var text []byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c < ' ' && c != '\t' || c == 0x7f:
			return nil, mistake{text: "a template is one line, without control characters"}
		case (c == '{' || c == '}') && i+1 < len(s) && s[i+1] == c:
			text = append(text, c)
			i++
		case c == '}':
			return nil, mistake{text: "} without {; a brace itself is written }}"}
		case c == '{':
			end := strings.IndexByte(s[i:], '}')
			if end < 0 {
				return nil, mistake{text: "{ without }; a brace itself is written {{"}
			}
			name := s[i+1 : i+end]
			fd := slices.Index(fieldNames[:], name)
			if fd < 0 {
				return nil, unknownField(name)
			}
			f.parts = append(f.parts, part{string(text), field(fd)})
			text = text[:0]
			i += end
		default:
			text = append(text, c)
		}
	}
	f.tail = string(text)
	return f, mistake{}
}

func unknownField(name string) mistake {
	if name == "" {
		return mistake{text: "{} names no field; a brace itself is written {{"}
	}
	return mistake{unknown: name}
}
