package load

import (
	"errors"
	"strings"
	"testing"
)

// fed is what came of an answer: how much of the text belongs to it, and how it ended.
type fed struct {
	n, status          int
	done, close, atEnd bool
	err                error
}

// feed hands text over in pieces of a size.
func feed(text string, size int) fed {
	var a Answer
	var r fed
	for p := []byte(text); len(p) > 0 && !r.done && r.err == nil; {
		piece := p[:min(size, len(p))]
		var n int
		n, r.done, r.err = a.Feed(piece)
		r.n += n
		p = p[n:]
		if n < len(piece) && !r.done && r.err == nil {
			panic("BUG: a piece was not read whole")
		}
	}
	r.status, r.close, r.atEnd = a.Status, a.Close, a.End()
	return r
}

// both feeds text whole, in pieces of some sizes and byte by byte, and wants the same of all.
func both(t *testing.T, text string) fed {
	t.Helper()
	whole := feed(text, len(text))
	for _, size := range []int{1, 2, 7, 100, 255, 256, 257, 1000} {
		if got := feed(text, size); got != whole {
			t.Errorf("%.60q… in pieces of %d: %+v, whole: %+v", text, size, got, whole)
		}
	}
	return whole
}

const ok = "HTTP/1.1 200 OK\r\n"

func TestAnswerWhole(t *testing.T) {
	f := func(text string, status int, closes bool) {
		t.Helper()
		for _, behind := range []string{"", "HTTP/1.1 404 Not Found\r\n\r\n"} {
			if got, want := both(t, text+behind), (fed{n: len(text), status: status, done: true, close: closes}); got != want {
				t.Errorf("%.60q: %+v, want %+v", text, got, want)
			}
		}
	}
	f(ok+"Content-Length: 5\r\n\r\nhello", 200, false)
	f(ok+"content-LENGTH:5\r\n\r\n12345", 200, false)
	f(ok+"Content-Length: 0\r\n\r\n", 200, false)
	f(ok+"Content-Length: 2\nConnection: close\n\nok", 200, true)
	f(ok+"Connection: keep-alive\r\nContent-Length: 300\r\n\r\n"+strings.Repeat("\n", 300), 200, false)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, false)
	f(ok+"Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n", 200, false)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n2;a=b;c=\"d\"\r\nok\r\n0;last\r\nTrailer: x\r\nEtag: y\r\n\r\n", 200, false)
	f(ok+"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\nx\r\n0\r\n\r\n", 200, false)
	f("HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", 204, false)
	f("HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", 304, false)
	f("HTTP/1.1 502\r\nContent-Length: 1\r\n\r\nx", 502, false)
	f("HTTP/1.1 100 Continue\r\n\r\n"+ok+"Content-Length: 1\r\n\r\nx", 200, false)
	f("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: close\r\n\r\n"+ok+"Content-Length: 0\r\n\r\n", 200, false)
}

func TestAnswerNotWhole(t *testing.T) {
	f := func(text string, end bool) {
		t.Helper()
		got := both(t, text)
		if got.done || got.err != nil || got.n != len(text) || got.atEnd != end {
			t.Errorf("%.60q: %+v", text, got)
		}
	}
	f("HTTP/1.1 200 O", false)
	f(ok+"Content-Length: 5\r\n", false)
	f(ok+"Content-Length: 5\r\n\r\n", false)
	f(ok+"Content-Length: 5\r\n\r\nhell", false)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", false)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n", false)
	f("HTTP/1.1 100 Continue\r\n\r\n", false)
	f(ok+"Server: x\r\n\r\nuntil the connection closes\r\n\r\n", true)
}

func TestAnswerBad(t *testing.T) {
	f := func(text string, want error) {
		t.Helper()
		if got := both(t, text); !errors.Is(got.err, want) || got.done {
			t.Errorf("%.60q: %+v, want %v", text, got, want)
		}
	}
	f("\r\n", errHead)
	f("HTTP/2 200 OK\r\n", errHead)
	f("HTTP/1.1 20\r\n", errHead)
	f("HTTP/1.1 abc OK\r\n", errHead)
	f("HTTP/1.1 099 OK\r\n", errHead)
	f(ok+"Content-Length: 5x\r\n\r\n", errLength)
	f(ok+"Content-Length: -5\r\n\r\n", errLength)
	f(ok+"Content-Length:\r\n\r\n", errLength)
	f(ok+"Content-Length: 9999999999999999\r\n\r\n", errLength)
	const chunked = ok + "Transfer-Encoding: chunked\r\n\r\n"
	f(chunked+"\r\n", errChunk)
	f(chunked+"5g\r\n", errChunk)
	f(chunked+"-1\r\n", errChunk)
	f(chunked+"2\r\nokay\r\n", errChunk)
}

// A line that is longer than what is kept of a line in pieces is either of no matter, or refused: never is its
// beginning taken for the whole.
func TestAnswerLongLines(t *testing.T) {
	long := strings.Repeat("x", 5000)
	f := func(text string, want error) {
		t.Helper()
		if got := both(t, text); !errors.Is(got.err, want) || got.done != (want == nil) {
			t.Errorf("%.60q…: %+v, want %v", text, got, want)
		}
	}
	f(ok+"X-Long: "+long+"\r\nContent-Length: 1\r\n\r\ny", nil)
	f(ok+"Content-Type: "+long+"\r\nContent-Length: 1\r\n\r\ny", nil)
	f(ok+"X-Long: "+strings.Repeat(" Content-Length: 7", 50)+"\r\nContent-Length: 1\r\n\r\ny", nil)
	f("HTTP/1.1 200 "+long+"\r\nContent-Length: 1\r\n\r\ny", nil)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n1;"+long+"\r\ny\r\n0\r\n"+"X: "+long+"\r\n\r\n", nil)
	for n := 200; n < 300; n++ { // cut anywhere, also before its line end and within its number
		spaces := strings.Repeat(" ", n)
		head := ok + "Content-Length:" + spaces + "12"
		want := error(nil)
		if len("Content-Length:")+n+len("12\r") > 256 {
			want = errLength
		}
		f(head+"\r\n\r\n0123456789ab", want)
	}
	f(ok+"Connection: close, "+long+"\r\nContent-Length: 0\r\n\r\n", errHead)
	f(ok+"Transfer-Encoding: chunked, "+long+"\r\n\r\n", errHead)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n"+strings.Repeat("0", 255)+"1\r\ny", errChunk)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n1"+strings.Repeat(" ", 300)+"2\r\n", errChunk)
	// The line after a long one is read whole again.
	f(ok+"X: "+long+"\r\nContent-Length: "+strings.Repeat(" ", 100)+"1\r\n\r\ny", nil)
}

func TestAnswerReset(t *testing.T) {
	var a Answer
	for _, text := range []string{ok + "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5", ok + "Content-Le"} {
		if _, done, err := a.Feed([]byte(text)); done || err != nil {
			t.Fatalf("%q: done %t, %v", text, done, err)
		}
		a.Reset()
		if n, done, err := a.Feed([]byte(ok + "Content-Length: 1\r\n\r\nx")); n == 0 || !done || err != nil || a.Close {
			t.Errorf("behind %q: %d, done %t, %v, close %t", text, n, done, err, a.Close)
		}
		a.Reset()
	}
}
