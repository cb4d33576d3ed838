package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// FuzzScanRequest checks that the scanner agrees with its twin, that what it lets through means the
// same to net/http and to fasthttp, that the clean block is its own clean block, and that bytes behind
// the head have no say.
func FuzzScanRequest(f *testing.F) {
	for _, s := range requestSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		end := HeadEnd(data, 0)
		checkHeadEnd(t, data, end)
		src := data[:end:end]
		if end == 0 {
			src = data
		}
		var m Request
		clean, v := ScanRequest(nil, src, &m)
		wantClean, wantMeaning, ok := twinRequest(string(src))
		if ok != (v == nil) {
			t.Fatalf("%q: scanner %v, twin accepts: %v", src, v, ok)
		}
		var again Request
		cleanAgain, vAgain := ScanRequest([]byte("x"), data, &again)
		if (vAgain == nil) != ok {
			t.Fatalf("%q: %v with what follows, %v without", data, vAgain, v)
		}
		if !ok {
			return
		}
		if string(clean) != wantClean || string(cleanAgain) != "x"+wantClean {
			t.Fatalf("%q:\n got %q\nwant %q", src, clean, wantClean)
		}
		if got := show(&m); got != wantMeaning || m.Len != end || show(&again) != got {
			t.Fatalf("%q:\n got %s\nwant %s", src, got, wantMeaning)
		}
		checkCleanRequest(t, clean, &m)
		checkReadRequest(t, src, &m)
	})
}

// checkReadRequest checks that net/http refuses a head that was let through, or reads the same in it: who it is for,
// where its body ends, and whether another request may follow.
func checkReadRequest(t *testing.T, src []byte, m *Request) {
	std, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(src)))
	if err != nil {
		return
	}
	length := m.ContentLength
	if length < 0 && !m.Chunked {
		length = 0
	}
	host := strings.TrimSuffix(std.Host, ":")
	if std.Method != string(m.Method) || host != string(m.Host) || std.ContentLength != length ||
		(len(std.TransferEncoding) > 0) != m.Chunked || std.Close != m.Close {
		t.Fatalf("net/http reads %q otherwise: %+v, here %s", src, std, show(m))
	}
	if path, query, _ := strings.Cut(std.RequestURI, "?"); m.Form == OriginForm &&
		(path != string(m.Path) || query != string(m.Query)) || m.Form == AbsoluteForm && std.URL.RawQuery != string(m.Query) {
		t.Fatalf("net/http reads %q otherwise: %s, here %s", src, std.RequestURI, show(m))
	}
}

// checkHeadEnd checks that looking on from where nothing was found finds the same.
func checkHeadEnd(t *testing.T, data []byte, end int) {
	before := max(end, len(data)+1) - 1
	if end > 0 {
		before = end - 1
	}
	for _, seen := range []int{before / 2, before - 1, before} {
		if seen >= 0 && HeadEnd(data[:seen], 0) == 0 && HeadEnd(data, seen) != end {
			t.Fatalf("%q: end %d, after %d bytes %d", data, end, seen, HeadEnd(data, seen))
		}
	}
}

func checkCleanRequest(t *testing.T, clean []byte, m *Request) {
	var again Request
	if same, v := ScanRequest(nil, clean, &again); bytes.Count(clean, []byte("\r\n")) <= MaxFields+2 &&
		(v != nil || !bytes.Equal(same, clean)) {
		t.Fatalf("clean block %q is not clean: %v %q", clean, v, same)
	}
	var fast fasthttp.RequestHeader
	if len(m.Host) > 0 {
		err := fast.Read(bufio.NewReaderSize(bytes.NewReader(clean), len(clean)+16))
		if err != nil || !bytes.Equal(fast.RequestURI(), m.URI) || !bytes.Equal(bytes.TrimSuffix(fast.Host(), []byte(":")), m.Host) ||
			!bytes.Equal(fast.Method(), m.Method) || fast.ConnectionClose() {
			t.Fatalf("fasthttp reads %q otherwise: %v", clean, err)
		}
	}
	if _, err := url.ParseRequestURI(string(m.URI)); err != nil {
		return // a bad escape, say, which is for the canonical path to refuse
	}
	std, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(clean)))
	if err != nil || std.Method != string(m.Method) || std.RequestURI != string(m.URI) ||
		strings.TrimSuffix(std.Host, ":") != string(m.Host) || std.ContentLength != 0 || len(std.TransferEncoding) > 0 {
		t.Fatalf("net/http reads %q otherwise: %v %v", clean, std, err)
	}
	sameFields(t, clean, std.Header, "Host")
}

// sameFields checks that the fields of a clean block are those net/http has read.
func sameFields(t *testing.T, clean []byte, got http.Header, without string) {
	want := http.Header{}
	lines := strings.Split(strings.TrimSuffix(string(clean), "\r\n\r\n"), "\r\n")
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ":")
		want.Add(name, strings.Trim(value, " \t"))
	}
	want.Del(without)
	if p := want["Pragma"]; len(p) > 0 && p[0] == "no-cache" && want["Cache-Control"] == nil {
		want["Cache-Control"] = []string{"no-cache"} // net/http adds it
	}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Fatalf("net/http reads %q otherwise: %v", clean, got)
	}
}

// FuzzScanResponse is FuzzScanRequest for answers.
func FuzzScanResponse(f *testing.F) {
	for _, s := range responseSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		end := HeadEnd(data, 0)
		src := data[:end:end]
		if end == 0 {
			src = data
		}
		var m Response
		clean, v := ScanResponse(nil, src, &m, MaxFields)
		wantClean, wantMeaning, ok := twinResponse(string(src))
		if ok != (v == nil) {
			t.Fatalf("%q: scanner %v, twin accepts: %v", src, v, ok)
		}
		if !ok {
			return
		}
		if string(clean) != wantClean {
			t.Fatalf("%q:\n got %q\nwant %q", src, clean, wantClean)
		}
		if got := showResponse(&m); got != wantMeaning || m.Len != end {
			t.Fatalf("%q:\n got %s\nwant %s", src, got, wantMeaning)
		}
		checkCleanResponse(t, clean, &m)
	})
}

func checkCleanResponse(t *testing.T, clean []byte, m *Response) {
	var again Response
	if same, v := ScanResponse(nil, clean, &again, MaxFields); v != nil || !bytes.Equal(same, clean) {
		t.Fatalf("clean block %q is not clean: %v %q", clean, v, same)
	}
	var fast fasthttp.ResponseHeader
	err := fast.Read(bufio.NewReaderSize(bytes.NewReader(clean), len(clean)+16))
	if err != nil || fast.StatusCode() != m.Status {
		t.Fatalf("fasthttp reads %q otherwise: %v", clean, err)
	}
	std, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(clean)), nil)
	if err != nil || std.StatusCode != m.Status || len(std.TransferEncoding) > 0 ||
		!m.Bodyless && std.ContentLength != m.ContentLength {
		t.Fatalf("net/http reads %q otherwise: %v %v", clean, std, err)
	}
	sameFields(t, clean, std.Header, "")
}

// FuzzMend checks that a head written anew says what net/http reads in the original, and that one which needs
// nothing stays as it is.
func FuzzMend(f *testing.F) {
	for _, s := range responseSeeds {
		f.Add([]byte(s))
		f.Add([]byte(strings.ReplaceAll(s, "\r\n", "\n")))
	}
	f.Add([]byte("HTTP/1.1 200 OK\r\nA: b\r\n \t c\n d\nContent-Length: 3\r\n\n"))
	f.Add([]byte("HTTP/1.1 200 OK\nContent-Length:\n 3\n\n"))
	f.Add([]byte("HTTP/1.1 200 OK\n A: b\nC: d\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		end := AnswerEnd(data, 0)
		if end == 0 {
			return
		}
		for seen := range end {
			if AnswerEnd(data[:seen], 0) != 0 || AnswerEnd(data, seen) != end {
				t.Fatalf("%q: another end after %d bytes", data, seen)
			}
		}
		var m Response
		_, strict := ScanResponse(nil, data[:end], &m, MaxFields)
		mended, v := Mend([]byte("x"), data[:end])
		if v != nil {
			if string(mended) != "x" || strict == nil {
				t.Fatalf("%q: %v, %v, %q", data, strict, v, mended)
			}
			return
		}
		mended = mended[1:]
		if strict == nil && !bytes.Equal(mended, data[:end]) {
			t.Fatalf("%q: becomes %q", data[:end], mended)
		}
		clean, v := ScanResponse(nil, mended, &m, MaxFields)
		if v != nil {
			return
		}
		checkCleanResponse(t, clean, &m)
		checkMended(t, data[:end], clean, &m)
	})
}

func checkMended(t *testing.T, src, clean []byte, m *Response) {
	want, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(src)), nil)
	if err != nil {
		return // refused there: nobody reads it otherwise
	}
	if want.StatusCode != m.Status || !m.Bodyless && (len(want.TransferEncoding) > 0) != m.Chunked ||
		!m.Bodyless && want.ContentLength != m.ContentLength {
		t.Fatalf("net/http reads %q otherwise: %v", src, want)
	}
	got, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(clean)), nil)
	if err != nil {
		t.Fatalf("%q: %v", clean, err)
	}
	got.Header.Del("Content-Length") // in normal form here, and compared above
	for name, values := range got.Header {
		for i := range values {
			a := strings.Join(strings.Fields(values[i]), " ")
			if b := strings.Join(strings.Fields(want.Header[name][i]), " "); a != b {
				t.Fatalf("%q: %s: %q here, %q in net/http", src, name, a, b)
			}
		}
	}
}

// FuzzChunkedAnswer is FuzzChunked for the bodies of answers.
func FuzzChunkedAnswer(f *testing.F) {
	for _, s := range chunkedSeeds {
		f.Add(s, 7)
	}
	const maxTrailer = 256
	f.Fuzz(func(t *testing.T, src string, size int) {
		if size < 1 || size > 64<<10 {
			return
		}
		got := drainAs(strings.NewReader(src), size, maxTrailer, true)
		for _, s := range splits {
			if other := drainAs(s.of(src), s.size, maxTrailer, true); other != got {
				t.Fatalf("%q in %s:\n got %+v\nwant %+v", src, s.name, other, got)
			}
		}
		want, ok := twinChunked(src, maxTrailer, true)
		if ok != (got.err == nil) || ok && got != want {
			t.Fatalf("%q:\n got %+v\nwant %+v %v", src, got, want, ok)
		}
	})
}

// FuzzChunked checks that a chunked body reads the same however it is cut up, as the twin and net/http
// read it.
func FuzzChunked(f *testing.F) {
	for _, s := range chunkedSeeds {
		f.Add(s, 7)
	}
	const maxTrailer = 256
	f.Fuzz(func(t *testing.T, src string, size int) {
		if size < 1 || size > 64<<10 {
			return
		}
		got := drain(strings.NewReader(src), size, maxTrailer)
		for _, s := range splits {
			if other := drain(s.of(src), s.size, maxTrailer); other != got {
				t.Fatalf("%q in %s:\n got %+v\nwant %+v", src, s.name, other, got)
			}
		}
		want, ok := twinChunked(src, maxTrailer, false)
		if ok != (got.err == nil) || ok && got != want {
			t.Fatalf("%q:\n got %+v\nwant %+v %v", src, got, want, ok)
		}
		var v *Violation
		if !ok && !errors.Is(got.err, io.ErrUnexpectedEOF) && !errors.As(got.err, &v) {
			t.Fatalf("%q: unexpected error %v", src, got.err)
		}
		if ok {
			body, err := io.ReadAll(httputil.NewChunkedReader(strings.NewReader(src)))
			if spaced := strings.ContainsAny(src, " \t"); (err != nil && !spaced) || err == nil && string(body) != got.body {
				t.Fatalf("net/http reads %q as %q, %v", src, body, err)
			}
		}
	})
}

var requestSeeds = []string{
	browserHead,
	head("GET / HTTP/1.1", "Host: a"),
	head("\r\nGET http://b/c?d HTTP/1.1", "Host: a", "Connection: x, close", "X: y", "X_Y: z"),
	head("OPTIONS * HTTP/1.1", "Host: [::1]:80"),
	head("GET / HTTP/1.0", "Connection: keep-alive", "Pragma: no-cache"),
	head("POST / HTTP/1.1", "Host: a", "Content-Length: 003", "Expect: 100-continue"),
	head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Trailer: A", "TE: trailers"),
	head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked", "Content-Length: 3"),
	head("GET /ws HTTP/1.1", "Host: a", "Connection: keep-alive, Upgrade", "Upgrade: websocket"),
	head("GET / HTTP/1.1", "Host: a", "Connection: upgrade, HTTP2-Settings", "Upgrade: h2c"),
	"GET / HTTP/1.1\nHost: a\n\n",
	head("GET / HTTP/1.1", "Host: u@a"),
	head("\r\n\r\nGET http://b?d HTTP/1.3", "Host: a!b$c.example:"),
	head("GET //a//b HTTP/1.1", "Host: [::1]:"),
	head("GET / HTTP/1.1", "Host: a", "X: y\r\n folded"),
	head("GET / HTTP/1.1", "Host: a", "X : y"),
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}

var responseSeeds = []string{
	answerHead,
	head("HTTP/1.1 200 OK", "Content-Length: 003"),
	head("HTTP/1.1 200", "Transfer-Encoding: chunked", "Connection: x-a", "X-A: b"),
	head("HTTP/1.0 200 OK", "Connection: keep-alive"),
	head("HTTP/1.1 304 Not Modified", "Content-Length: 5", "Date: d"),
	head("HTTP/1.1 204 No Content", "Content-Length: 5"),
	head("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: websocket"),
	head("HTTP/1.1 103 Early Hints", "Link: </a.css>; rel=preload"),
	head("HTTP/1.1 099 x", "Content-Length: 0"),
	"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
}

var chunkedSeeds = []string{
	"3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
	"1;a=\"b\"\r\nx\r\n00\r\nA: b\r\nC_D: e\r\n\r\n",
	"3\r\nabc\r\n",
	"0\r\nContent-Length: 3\r\n\r\n",
	"2 \r\nab\r\n0\r\n\r\n",
	"2 ; a = \"b;\\\"\" ;c=d\r\nab\r\n0\r\nVary: x\r\nC: d\r\n\r\n",
	"2\nab\n0\n\n",
	"fffffffffffffff\r\nab",
}
