package header

import (
	"bufio"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

func TestIsToken(t *testing.T) {
	const tchar = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	for c := range 256 {
		s := string([]byte{byte(c)})
		want := strings.Contains(tchar, s)
		if IsToken(s) != want || IsToken("a"+s) != want || IsToken(s+"a") != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
	if IsToken("") {
		t.Error("the empty string is no token")
	}
}

// request reads a head with the given fields, each with CRLF at its end.
func request(fields string) (h *fasthttp.RequestHeader, ok bool) {
	h = new(fasthttp.RequestHeader)
	h.SetNoDefaultContentType(true)
	head := "GET /a HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n"
	return h, h.Read(bufio.NewReaderSize(strings.NewReader(head), len(head)+16)) == nil
}

// fields returns the lines of h behind the start line.
func fields(h *fasthttp.RequestHeader) []string {
	lines := strings.Split(h.String(), "\r\n")
	return lines[1 : len(lines)-2]
}

func isGone(name []byte) bool { return string(name) == "Gone" }

func TestReadWithout(t *testing.T) {
	var text Text
	f := func(lines string, want ...string) {
		t.Helper()
		h, ok := request(lines)
		if !ok {
			t.Fatalf("%q is no head", lines)
		}
		text.Bytes = h.AppendBytes(text.Bytes[:0])
		if err := text.ReadWithout(h, isGone); err != nil {
			t.Fatal(err)
		}
		if got := fields(h); !slices.Equal(got[1:], want) || string(h.RequestURI()) != "/a" {
			t.Errorf("%q: %q, want %q", lines, got, want)
		}
	}
	f("")
	f("gone: 1\r\nGONE: 2\r\n")
	f("A: 1\r\nGone: 1\r\nA: 2\r\nB: 1\r\nGone:\r\nA: 3\r\nGone: x\r\n", "A: 1", "A: 2", "B: 1", "A: 3")
	f("Gone: 1\r\nA:\r\nCookie: a=b; c=d\r\n", "A: ", "Cookie: a=b; c=d")
	long := "A: " + strings.Repeat("x", 2*smallText)
	f(long+"\r\nGone: 1\r\nA: 2\r\n", long, "A: 2")
}

func TestReadWithoutFails(t *testing.T) {
	h, _ := request("A: 1\r\n")
	h.SetCanonical([]byte("A"), []byte("a\x00b"))
	text := Text{Bytes: h.AppendBytes(nil)}
	if text.ReadWithout(h, isGone) == nil {
		t.Error("a broken head was read again")
	}
}

func TestNextField(t *testing.T) {
	text := Text{Bytes: []byte("GET / HTTP/1.1\r\nA: 1\r\nB: c: d\r\nC: \r\n\r\n")}
	var got []string
	for rest := text.Fields(); ; {
		var name, value []byte
		if name, value, rest = NextField(rest); len(name) == 0 {
			break
		}
		got = append(got, string(name)+"="+string(value))
	}
	if want := []string{"A=1", "B=c: d", "C="}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestIsLarge(t *testing.T) {
	var text Text
	f := func(fieldBytes int, want bool) {
		t.Helper()
		h, _ := request("A: " + strings.Repeat("x", fieldBytes) + "\r\n")
		text.Bytes = h.AppendBytes(text.Bytes[:0])
		if err := text.ReadWithout(h, isGone); err != nil || text.IsLarge() != want {
			t.Errorf("%d bytes: %v, %v", fieldBytes, !want, err)
		}
	}
	f(1, false)
	f(smallText, false)
	f(largeText, true)
	f(1, true) // the memory is still held
}

// FuzzReadWithout holds a head without some lines against the list of its lines without them.
func FuzzReadWithout(f *testing.F) {
	f.Add("A: 1\r\nGone: 1\r\nA: 2\r\n")
	f.Add("Cookie: a=b\r\ngone:\r\nCookie: c\r\n")
	f.Fuzz(func(t *testing.T, lines string) {
		h, ok := request(lines)
		if !ok {
			return
		}
		want := slices.DeleteFunc(fields(h), func(l string) bool { return strings.HasPrefix(l, "Gone: ") })
		text := Text{Bytes: h.AppendBytes(nil)}
		if text.ReadWithout(h, isGone) != nil {
			return // fasthttp writes a few heads that it does not read
		}
		if got := fields(h); !slices.EqualFunc(got, want, sameLine) {
			t.Errorf("%q: %q, want %q", lines, got, want)
		}
	})
}

// sameLine leaves the white space behind a value aside: fasthttp keeps some of a folded line, and trims it when
// the line is no longer folded.
func sameLine(a, b string) bool { return strings.TrimRight(a, " \t") == strings.TrimRight(b, " \t") }
