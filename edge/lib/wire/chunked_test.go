package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// outcome is all that reading a chunked body shows.
type outcome struct {
	body, trailer, rest string
	err                 error // nil: complete
}

// drain reads a chunked body from src in pieces of at most size bytes, then what follows it.
func drain(src io.Reader, size, maxTrailer int) outcome { return drainAs(src, size, maxTrailer, false) }

// drainAs is drain for a request or an answer.
func drainAs(src io.Reader, size, maxTrailer int, answer bool) outcome {
	var r Reader
	r.Reset(src, 1, 1<<20)
	defer r.Release()
	var c Chunked
	c.Reset(&r, maxTrailer)
	if answer {
		c.ResetAnswer(&r, maxTrailer)
	}
	var out outcome
	p := make([]byte, size)
	for out.err == nil {
		n, err := c.Read(p)
		out.body += string(p[:n])
		if errors.Is(err, io.EOF) {
			out.trailer = string(c.Trailer())
			rest, _ := io.ReadAll(&r)
			out.rest = string(rest)
			return out
		}
		out.err = err
	}
	return out
}

// splits are the ways a source may be cut up.
var splits = []struct {
	name string
	of   func(string) io.Reader
	size int
}{
	{"whole", func(s string) io.Reader { return strings.NewReader(s) }, 64 << 10},
	{"bytes", func(s string) io.Reader { return iotest.OneByteReader(strings.NewReader(s)) }, 7},
	{"halves", func(s string) io.Reader { return iotest.HalfReader(strings.NewReader(s)) }, 5000},
	{"early error", func(s string) io.Reader { return iotest.DataErrReader(strings.NewReader(s)) }, 4096},
	{"byte by byte", func(s string) io.Reader { return strings.NewReader(s) }, 1},
}

// reads returns the closure of the tests below: src must read as want, however it is cut up.
func reads(t *testing.T) func(src string, want outcome) {
	return func(src string, want outcome) {
		t.Helper()
		for _, s := range splits {
			if got := drain(s.of(src), s.size, 64); got != want {
				t.Fatalf("%q in %s:\n got %+v\nwant %+v", src, s.name, got, want)
			}
		}
	}
}

func TestChunkedGood(t *testing.T) {
	f := reads(t)
	good := func(src, body, trailer, rest string) {
		t.Helper()
		f(src, outcome{body, trailer, rest, nil})
	}
	good("0\r\n\r\n", "", "", "")
	good("000\r\n\r\nGET", "", "", "GET")
	good("3\r\nabc\r\n0\r\n\r\n", "abc", "", "")
	good("00A\r\n0123456789\r\n1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n0\r\n", "0123456789\r\n", "", "0\r\n")
	good("1;a\r\nx\r\n1;a=\"\\\"\xff\";b\r\ny\r\n0;z\r\n\r\n", "xy", "", "")
	good("1 ;a\r\nx\r\n1\t ; a\t=\t\" ;\"\t;b= c ; d\r\ny\r\n0;z\r\n\r\n", "xy", "", "")
	good("0\r\nVary: x\r\nA: b\r\nContent-Type: x\r\nSet-Cookie: x\r\n\r\n", "", "A: b\r\n", "")
	good("000000000000001\r\nx\r\n0\r\n\r\n", "x", "", "")
	good("0\r\nA:b\r\nC-D: \t e f\t\r\nEtag:\r\n\r\n", "", "A: b\r\nC-D: e f\r\nEtag: \r\n", "")
	good("0\r\nA_B: c\r\nServer-Timing: x\r\nContent-Digest: y\r\n\r\n", "",
		"Server-Timing: x\r\nContent-Digest: y\r\n", "")
	big := strings.Repeat("0123456789abcdef", 1<<10)
	good("4000\r\n"+big+"\r\n1;"+strings.Repeat("e", 255)+"\r\n.\r\n0\r\n\r\nrest", big+".", "", "rest")
}

func TestChunkedCut(t *testing.T) {
	f := reads(t)
	cut := func(src, body string) { t.Helper(); f(src, outcome{body, "", "", io.ErrUnexpectedEOF}) }
	cut("", "")
	cut("3", "")
	cut("3\r", "")
	cut("3\r\n", "")
	cut("3\r\nab", "ab")
	cut("3\r\nabc", "abc")
	cut("3\r\nabc\r", "abc")
	cut("3\r\nabc\r\n", "abc") // between two chunks: looks complete to the careless
	cut("3\r\nabc\r\n0", "abc")
	cut("3\r\nabc\r\n0\r\n", "abc")
	cut("3\r\nabc\r\n0\r\n\r", "abc")
	cut("0\r\nA: b\r\n", "")
	cut("0\r\nA: b", "")
	cut("1;ext", "")
}

func TestChunkedBad(t *testing.T) {
	f := reads(t)
	bad := func(src, body string, why fault) {
		t.Helper()
		f(src, outcome{body, "", "", &requestFaults[why]})
	}
	size := func(line string) {
		t.Helper()
		bad("1\r\na\r\n"+line+"\r\nab\r\n0\r\n\r\n", "a", faultChunkSize)
	}
	size("")
	size(" 2")
	size("2 ")
	size("2\t")
	size("0x2")
	size("+2")
	size("-2")
	size("g")
	size("2,2")
	size("2\x00")
	size("2\r")
	size("0000000000000002")
	size("ffffffffffffffff")
	size("10000000000000002")
	bad("2\nab\r\n0\r\n\r\n", "", faultChunkSize)
	bad("2;a\nab\r\n0\r\n\r\n", "", faultChunkExtension)
	bad("2;a\rb\r\nab\r\n0\r\n\r\n", "", faultChunkExtension)
	bad("2;a\x00\r\nab\r\n0\r\n\r\n", "", faultChunkExtension)
	bad("1;"+strings.Repeat("e", 256)+"\r\n", "", faultChunkExtension)
	ext := strings.Repeat("1;"+strings.Repeat("e", 255)+"\r\nx\r\n", 16)
	f(ext+"0\r\n\r\n", outcome{strings.Repeat("x", 16), "", "", nil})
	bad(ext+"0;\r\n\r\n", strings.Repeat("x", 16), faultChunkExtension)
	ext2 := func(line string) { t.Helper(); bad(line+"\r\nab\r\n0\r\n\r\n", "", faultChunkExtension) }
	for _, line := range badExtensions {
		ext2(line)
	}
	ext2("2;a ")
	ext2("2;a=b\t")
	ext2("2;a=\"b\" ")
	bad("2\r\nabc\r\n0\r\n\r\n", "ab", faultChunkEnd)
	bad("2\r\nab\n0\r\n\r\n", "ab", faultChunkEnd)
	bad("2\r\nab0\r\n\r\n", "ab", faultChunkEnd)
	bad("2\r\nab\r0\r\n\r\n", "ab", faultChunkEnd)
}

// badExtensions are size lines whose extensions break the grammar.
var badExtensions = []string{
	"2;", "2 ;", "2; ", "2;;", "2;a;", "2;=b", "2;a=", "2;a= ", "2;a=b=c", "2;a b", "2;a=b c", "2;a=\"b", "2;a=\"b\\\"",
	"2;a=\"b\\", "2;a=\"b\"c", "2;a=\"b\"\"c\"", "2;a,b", "2;\"a\"", "2;a=\x80", "2;a=\"\x00\"", "2;a=\"\\\x7f\"",
}

// TestChunkedAnswer checks what is taken from targets only.
func TestChunkedAnswer(t *testing.T) {
	f := func(src string, want outcome) {
		t.Helper()
		for _, s := range splits {
			if got := drainAs(s.of(src), s.size, 1<<10, true); got != want {
				t.Fatalf("%q in %s:\n got %+v\nwant %+v", src, s.name, got, want)
			}
		}
	}
	good := func(src, body, trailer string) { t.Helper(); f(src, outcome{body, trailer, "", nil}) }
	bad := func(src, body string, why fault) {
		t.Helper()
		f(src, outcome{body, "", "", &responseFaults[why]})
	}
	good("2 \r\nab\r\n2\t \r\ncd\r\n0 \r\n\r\n", "abcd", "")
	good("2 ;a=b\r\nab\r\n2;a=\"b\" \r\ncd\r\n0;a \r\n\r\n", "abcd", "")
	var refused strings.Builder
	for _, name := range []string{
		"Content-Length", "Transfer-Encoding", "Host", "X-Forwarded-For", "x-forwarded-anything", "Trailer",
		"TE", "Connection", "Cookie", "Set-Cookie", "Authorization", "Cache-Control", "Content-Type",
		"Content-Encoding", "Range", "If-Match", "Expect", "Upgrade", "Via", "Forwarded", "X-Request-Id",
		"Keep-Alive", "Proxy-Authorization", "Age", "Vary", "Access-Control-Allow-Origin", "Location",
	} {
		refused.WriteString(name + ": x\r\n")
	}
	good("1\r\nx\r\n0\r\nA: b\r\n"+refused.String()+"C: d\r\n\r\n", "x", "A: b\r\nC: d\r\n")
	for _, line := range badExtensions {
		bad(line+"\r\nab\r\n0\r\n\r\n", "", faultChunkExtension)
	}
	for _, line := range []string{" 2", "2 2", "", " ", "2\x0b", "2\r", "0x2", "2 x"} {
		bad("1\r\na\r\n"+line+"\r\nab\r\n0\r\n\r\n", "a", faultChunkSize)
	}
	bad("2 \nab\r\n0\r\n\r\n", "", faultChunkSize)
	bad("2"+strings.Repeat(" ", 257)+"\r\nab\r\n0\r\n\r\n", "", faultChunkExtension)
}

func TestChunkedTrailerBad(t *testing.T) {
	f := reads(t)
	bad := func(src, body string, why fault) {
		t.Helper()
		f(src, outcome{body, "", "", &requestFaults[why]})
	}
	trailer := func(line string, why fault) { t.Helper(); bad("0\r\n"+line+"\r\n\r\n", "", why) }
	bad("0\r\n\n", "", faultBareLF)
	bad("0\r\n\rx", "", faultBareCR)
	bad("0\r\nA: b\n\r\n", "", faultBareLF)
	trailer(" A: b", faultFold)
	trailer("A: b\r\n c", faultFold)
	trailer("A : b", faultName)
	trailer("A b: c", faultName)
	trailer(": b", faultName)
	trailer("no colon", faultName)
	trailer("A: \x00", faultControl)
	trailer("A: b\rc", faultBareCR)
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "host", "Authorization",
		"X-Forwarded-For", "x-forwarded-anything", "Cookie", "Connection"} {
		trailer(name+": x", faultTrailer)
	}
	trailer("A: "+strings.Repeat("b", 60), faultTrailerSize)
	trailer("A: b\r\nA: "+strings.Repeat("b", 54), faultTrailerSize)
	f("0\r\nA: b\r\nA: "+strings.Repeat("b", 53)+"\r\n\r\n",
		outcome{"", "A: b\r\nA: " + strings.Repeat("b", 53) + "\r\n", "", nil})
}

func TestChunkedManyTrailers(t *testing.T) {
	f := func(lines int, want error) {
		t.Helper()
		got := drain(strings.NewReader("0\r\n"+strings.Repeat("A: b\r\n", lines)+"\r\n"), 8, 1<<20)
		if !errors.Is(got.err, want) {
			t.Fatalf("%d lines: %v", lines, got.err)
		}
	}
	f(MaxFields, nil)
	f(MaxFields+1, &requestFaults[faultTooMany])
}

// TestChunkedErrorsStay checks that a broken body stays broken and a late one can go on.
func TestChunkedErrorsStay(t *testing.T) {
	var r Reader
	var c Chunked
	p := make([]byte, 8)
	f := func(src io.Reader, want ...error) {
		t.Helper()
		r.Reset(src, 16, 64)
		c.Reset(&r, 16)
		for _, w := range want {
			if _, err := c.Read(p); !errors.Is(err, w) || (err == nil) != (w == nil) {
				t.Fatalf("got %v, want %v", err, w)
			}
		}
	}
	late := errors.New("late")
	broken := error(&requestFaults[faultChunkSize])
	f(strings.NewReader("x"), broken, broken)
	f(strings.NewReader("1\r\n"), io.ErrUnexpectedEOF, io.ErrUnexpectedEOF)
	f(strings.NewReader("0\r\n\r\n"), io.EOF, io.EOF)
	f(&script{pieces: []string{"1\r", "", "\na\r", "", "\n0\r\n\r", "", "\n"}, err: late},
		late, nil, late, late, io.EOF)
	if n, err := c.Read(nil); n != 0 || err != nil {
		t.Fatal(n, err)
	}
}

// script is a source that brings pieces one after another; for an empty one it fails with err.
type script struct {
	pieces []string
	err    error
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	if s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
		return 0, s.err
	}
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

// TestChunkedNeverWaitsWithData checks that data which has come is handed out before the next read.
func TestChunkedNeverWaitsWithData(t *testing.T) {
	var r Reader
	var c Chunked
	src := &script{pieces: []string{"3\r\nabc\r\n3\r\nde"}, err: errors.New("read on")}
	r.Reset(src, 16, 64)
	c.Reset(&r, 16)
	p := make([]byte, 64)
	if n, err := c.Read(p); string(p[:n]) != "abcde" || err != nil {
		t.Fatalf("%q %v", p[:n], err)
	}
}

func TestChunkedLineLargerThanBuffer(t *testing.T) {
	var r Reader
	var c Chunked
	f := func(src string, want fault) {
		t.Helper()
		r.Reset(strings.NewReader(src), 8, 8)
		c.Reset(&r, 1<<10)
		if _, err := c.Read(make([]byte, 8)); !errors.Is(err, &requestFaults[want]) {
			t.Fatalf("%q: %v", src, err)
		}
	}
	f("1;extension\r\na\r\n0\r\n\r\n", faultChunkSize)
	f("0\r\nA: long value\r\n\r\n", faultTrailerSize)
}

func TestAppendChunkHeader(t *testing.T) {
	f := func(n int, want string) {
		t.Helper()
		if got := string(AppendChunkHeader([]byte("x"), n)); got != "x"+want {
			t.Fatalf("%d: %q", n, got)
		}
	}
	f(0, "0\r\n")
	f(1, "1\r\n")
	f(255, "ff\r\n")
	f(32<<10, "8000\r\n")
	f(1<<62, "4000000000000000\r\n")
}

// TestChunkedRoundTrip reads what AppendChunkHeader frames.
func TestChunkedRoundTrip(t *testing.T) {
	var wire, body bytes.Buffer
	for n := 1; n < 40<<10; n = n*3 + 1 {
		data := bytes.Repeat([]byte{byte(n)}, n)
		wire.Write(AppendChunkHeader(nil, n))
		wire.Write(data)
		wire.WriteString("\r\n")
		body.Write(data)
	}
	wire.WriteString("0\r\n\r\n")
	for _, s := range splits {
		if got := drain(s.of(wire.String()), s.size, 0); got.err != nil || got.body != body.String() {
			t.Fatalf("in %s: %d bytes, %v", s.name, len(got.body), got.err)
		}
	}
}

func TestChunkedReady(t *testing.T) {
	f := func(body string, want bool) {
		t.Helper()
		var r Reader
		r.Reset(strings.NewReader(body), 16, 64)
		defer r.Release()
		if _, err := r.Fill(); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		var c Chunked
		c.Reset(&r, 64)
		if got := c.Ready(); got != want {
			t.Errorf("%q: %v", body, got)
		}
		if got := c.Ready(); got != want {
			t.Errorf("%q, asked again: %v", body, got)
		}
	}
	f("", false)
	f("5", false)
	f("5\r\n", false)
	f("5\r\nf", true)
	f("0\r\n", false)
	f("0\r\nA: b\r\n", false)
	f("0\r\n\r\n", true)
	f("5\nf", true)
}
