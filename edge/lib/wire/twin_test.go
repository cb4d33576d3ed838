package wire

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The slow twins read a message with strings and patterns, one rule after another. They agree with the
// scanner on whether a head is good and on what it says, not on why a bad one is bad.

var (
	twinLine    = regexp.MustCompile(`^([!#$%&'*+\-.^_|~0-9A-Za-z` + "`" + `]{1,64}) ([^ ]+) HTTP/1\.([0-9])$`)
	twinStatus  = regexp.MustCompile(`^HTTP/1\.([0-9]) ([1-5][0-9][0-9])( (.*))?$`)
	twinField   = regexp.MustCompile(`^([!#$%&'*+\-.^_|~0-9A-Za-z` + "`" + `]+):(.*)$`)
	twinZero    = regexp.MustCompile(`^[qQ]=0[.0]*$`)
	twinURL     = regexp.MustCompile(`^(?i:(https?))://([^/?#]*)(.*)$`)
	twinLength  = regexp.MustCompile(`^[0-9]{1,18}$`)
	twinToken   = regexp.MustCompile(`^[!#$%&'*+\-.^_|~0-9A-Za-z` + "`" + `]+$`)
	twinUpgrade = regexp.MustCompile(`^[!#$%&'*+\-.^_|~0-9A-Za-z/,\t ` + "`" + `]+$`)
)

var twinHop = []string{
	"connection", "keep-alive", "close", "proxy-connection", "proxy-authenticate", "proxy-authorization",
	"proxy-authentication-info", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings",
}

// twinHead is a head cut into its first line and its fields.
type twinHead struct {
	first  string
	fields [][2]string // name, value
	lines  []string    // the same as received
}

// values returns the values of all fields called name.
func (h *twinHead) values(name string) (out []string) {
	for _, f := range h.fields {
		if strings.EqualFold(f[0], name) {
			out = append(out, f[1])
		}
	}
	return out
}

func (h *twinHead) list(name string) (out []string) {
	for _, v := range h.values(name) {
		for m := range strings.SplitSeq(v, ",") {
			if m = strings.Trim(m, " \t"); m != "" {
				out = append(out, m)
			}
		}
	}
	return out
}

func foldContains(list []string, word string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, word) })
}

func twinParse(src string) (h twinHead, ok bool) {
	body, ok := strings.CutSuffix(src, "\r\n\r\n")
	if !ok || strings.Contains(body+"\r\n", "\r\n\r\n") {
		return h, false
	}
	lines := strings.Split(body, "\r\n")
	for _, l := range lines {
		for i := range len(l) {
			if l[i] < ' ' && l[i] != '\t' || l[i] == 0x7f {
				return h, false
			}
		}
	}
	h.first, h.lines = lines[0], lines[1:]
	for _, l := range h.lines {
		m := twinField.FindStringSubmatch(l)
		if m == nil {
			return h, false
		}
		h.fields = append(h.fields, [2]string{m[1], strings.Trim(m[2], " \t")})
	}
	return h, len(h.fields) <= MaxFields
}

// framing returns Content-Length and whether the message is chunked.
func (h *twinHead) framing(minor string) (length int64, chunked, ok bool) {
	lengths, codings := h.values("content-length"), h.values("transfer-encoding")
	switch {
	case len(lengths)+len(codings) > 1:
		return 0, false, false
	case len(codings) == 1:
		return -1, true, minor == "1" && strings.EqualFold(codings[0], "chunked")
	case len(lengths) == 0:
		return -1, false, true
	}
	n, err := strconv.ParseInt(lengths[0], 10, 64)
	return n, false, err == nil && twinLength.MatchString(lengths[0])
}

func (h *twinHead) upgrade(minor string) (value string, ok bool) {
	up := h.values("upgrade")
	switch {
	case len(up) > 1:
		return "", false
	case len(up) == 0 || minor == "0" || !foldContains(h.list("connection"), "upgrade"):
		return "", true
	case foldContains(h.list("upgrade"), "h2c") && twinUpgrade.MatchString(up[0]):
		return "", true
	}
	return up[0], twinUpgrade.MatchString(up[0])
}

// options returns the names Connection takes out.
func (h *twinHead) options() (out []string, ok bool) {
	for _, o := range h.list("connection") {
		if !twinToken.MatchString(o) {
			return nil, false
		}
		low := strings.ToLower(o)
		if !guarded([]byte(low)) {
			out = append(out, low)
		}
	}
	return out, len(out) <= maxOptions
}

// kept returns the lines of the clean block.
func (h *twinHead) kept(without ...string) (out []string) {
	return h.pick(append(without, twinHop...))
}

// keptWith is kept with a field that belongs to one connection.
func (h *twinHead) keptWith(name string) []string {
	return h.pick(slices.DeleteFunc(slices.Clone(twinHop), func(s string) bool { return s == name }))
}

func (h *twinHead) pick(without []string) (out []string) {
	named, _ := h.options()
	without = append(without, named...)
	for i, f := range h.fields {
		if !foldContains(without, f[0]) {
			out = append(out, h.lines[i])
		}
	}
	return out
}

func (h *twinHead) closes(minor string) (closes, keepAlive bool) {
	opts := h.list("connection")
	keepAlive = minor == "0" && foldContains(opts, "keep-alive") && !foldContains(opts, "close")
	return foldContains(opts, "close") || minor == "0" && !keepAlive, keepAlive
}

// twinRequest returns the clean block and the meaning as show writes it; ok false when refused.
func twinRequest(src string) (clean, meaning string, ok bool) {
	h, ok := twinParse(strings.TrimPrefix(strings.TrimPrefix(src, "\r\n"), "\r\n"))
	line := twinLine.FindStringSubmatch(h.first)
	if !ok || line == nil || strings.EqualFold(line[1], "CONNECT") || strings.EqualFold(line[1], "TRACE") {
		return "", "", false
	}
	line[3] = twinMinor(line[3])
	m := Request{Method: []byte(line[1]), Minor: int(line[3][0] - '0')}
	if !twinTarget(&m, line[2]) {
		return "", "", false
	}
	hosts := h.values("host")
	if len(hosts) > 1 || m.Minor == 1 && len(hosts) == 0 || len(hosts) == 1 && !twinHost(hosts[0]) {
		return "", "", false
	}
	if m.Form != AbsoluteForm && len(hosts) == 1 {
		m.Host = []byte(strings.TrimSuffix(hosts[0], ":"))
	}
	expect := h.values("expect")
	if len(expect) > 1 || len(expect) == 1 && !strings.EqualFold(expect[0], "100-continue") {
		return "", "", false
	}
	m.Expect100 = len(expect) == 1 && m.Minor == 1
	length, chunked, ok1 := h.framing(line[3])
	up, ok2 := h.upgrade(line[3])
	_, ok3 := h.options()
	if !ok1 || !ok2 || !ok3 {
		return "", "", false
	}
	m.ContentLength, m.Chunked = length, chunked
	m.Close, m.KeepAlive = h.closes(line[3])
	for _, member := range h.list("te") {
		name, weight, _ := strings.Cut(member, ";")
		if strings.EqualFold(strings.Trim(name, " \t"), "trailers") && !twinZero.MatchString(strings.Trim(weight, " \t")) {
			m.TETrailers = true
		}
	}
	m.NoTrailers = len(h.values("te")) > 0 && !m.TETrailers
	m.Upgrade, m.Trailer = first(up), first(h.values("trailer")...)
	if cookies := slices.DeleteFunc(h.values("cookie"), func(v string) bool { return v == "" }); len(cookies) > 0 {
		m.Cookie = []byte(strings.Join(cookies, "; "))
	}
	if up == "" {
		m.Upgrade = nil
	}
	return twinClean(&m, &h), show(&m), true
}

func twinClean(m *Request, h *twinHead) string {
	lines := []string{string(m.Method) + " " + string(m.URI) + " HTTP/1.1"}
	without := []string{"content-length", "expect"}
	switch {
	case len(m.Host) == 0:
		lines = []string{string(m.Method) + " " + string(m.URI) + " HTTP/1.0"}
	case m.Form == AbsoluteForm:
		lines, without = append(lines, "Host: "+string(m.Host)), append(without, "host")
	}
	for _, l := range h.kept(without...) {
		if name, _, _ := strings.Cut(l, ":"); !strings.Contains(name, "_") {
			lines = append(lines, l)
		}
	}
	return head(lines...)
}

func first(values ...string) []byte {
	if len(values) == 0 {
		return nil
	}
	return []byte(values[0])
}

func twinTarget(m *Request, t string) bool {
	if t == "*" {
		m.Form, m.URI, m.Path = AsteriskForm, []byte(t), []byte(t)
		return string(m.Method) == "OPTIONS"
	}
	if a := twinURL.FindStringSubmatch(t); a != nil {
		m.Form, m.Scheme, m.Host = AbsoluteForm, []byte(a[1]), []byte(strings.TrimSuffix(a[2], ":"))
		if !twinHost(a[2]) {
			return false
		}
		if t = a[3]; t == "" || t[0] == '?' {
			t = "/" + t
		}
	}
	if !strings.HasPrefix(t, "/") || strings.ContainsAny(t, "#\t") {
		return false
	}
	path, query, has := strings.Cut(t, "?")
	m.URI, m.Path, m.Query, m.HasQuery = []byte(t), []byte(path), []byte(query), has
	return true
}

// twinMinor is how a minor version is understood.
func twinMinor(digit string) string {
	if digit > "1" {
		return "1"
	}
	return digit
}

// twinResponse is twinRequest for answers.
func twinResponse(src string) (clean, meaning string, ok bool) {
	h, ok := twinParse(src)
	line := twinStatus.FindStringSubmatch(h.first)
	if !ok || line == nil {
		return "", "", false
	}
	line[1] = twinMinor(line[1])
	var m Response
	m.Status, _ = strconv.Atoi(line[2])
	m.Minor, m.Reason = int(line[1][0]-'0'), []byte(line[4])
	length, chunked, ok1 := h.framing(line[1])
	up, ok2 := h.upgrade(line[1])
	_, ok3 := h.options()
	if !ok1 || !ok2 || !ok3 {
		return "", "", false
	}
	without304 := m.Status < 200 || m.Status == 204
	m.Bodyless = without304 || m.Status == 304
	m.ContentLength, m.Chunked = length, chunked && !m.Bodyless
	m.Close, m.KeepAlive = h.closes(line[1])
	m.Close = m.Close || m.Bodyless && chunked || without304 && length > 0
	if without304 {
		m.ContentLength = -1
	}
	m.Trailer = first(h.values("trailer")...)
	if up != "" {
		m.Upgrade = []byte(up)
	}
	lines := []string{"HTTP/1.1 " + line[2] + " " + line[4]}
	kept := h.kept()
	if m.Status == 426 {
		kept = h.keptWith("upgrade")
	}
	for _, l := range kept {
		if name, _, _ := strings.Cut(l, ":"); strings.EqualFold(name, "content-length") {
			if without304 {
				continue
			}
			l = "Content-Length: " + strconv.FormatInt(length, 10)
		}
		lines = append(lines, l)
	}
	return head(lines...), showResponse(&m), true
}

// twinExtension is one extension of a chunk, twinSize a size line with any number of them.
const twinExtension = `[ \t]*;[ \t]*` + twinTchar + `+([ \t]*=[ \t]*(` + twinTchar + `+|"([^"\\\r\n]|\\[^\r\n])*"))?`

const twinTchar = `[!#$%&'*+\-.^_|~0-9A-Za-z` + "`" + `]`

var (
	twinSize       = regexp.MustCompile(`^([0-9A-Fa-f]{1,15})((?:` + twinExtension + `)*)\r\n`)
	twinAnswerSize = regexp.MustCompile(`^([0-9A-Fa-f]{1,15})((?:` + twinExtension + `)*[ \t]*)\r\n`)
)

// twinChunked reads a whole chunked body; ok is false when it is broken or cut short.
func twinChunked(src string, maxTrailer int, answer bool) (out outcome, ok bool) {
	ext, size := 0, twinSize
	if answer {
		size = twinAnswerSize
	}
	for {
		m := size.FindStringSubmatch(src)
		if m == nil || len(m[2]) > maxChunkExtension || hasControl(m[2]) {
			return out, false
		}
		if ext += len(m[2]); ext > maxExtensions {
			return out, false
		}
		src = src[len(m[0]):]
		n, _ := strconv.ParseInt(m[1], 16, 64)
		if n == 0 {
			break
		}
		if int64(len(src)) < n+2 || src[n:n+2] != "\r\n" {
			return out, false
		}
		out.body += src[:n]
		src = src[n+2:]
	}
	if rest, none := strings.CutPrefix(src, "\r\n"); none {
		out.rest = rest
		return out, true
	}
	lines, rest, whole := strings.Cut(src, "\r\n\r\n")
	h, ok := twinParse("-\r\n" + lines + "\r\n\r\n")
	if !whole || !ok || len(lines)+2 > maxTrailer {
		return out, false
	}
	for _, f := range h.fields {
		low := []byte(strings.ToLower(f[0]))
		if !answer && decides(low) {
			return out, false
		}
		if !strings.Contains(f[0], "_") && !forbiddenInTrailer(low) {
			out.trailer += f[0] + ": " + f[1] + "\r\n"
		}
	}
	out.rest = rest
	return out, true
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}
