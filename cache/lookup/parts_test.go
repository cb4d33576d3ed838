package lookup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/penstock-edge/penstock/edge"
)

// TestParts: parts are those of what is stored, and of what is being fetched (RFC 9110 section 14).
func TestParts(t *testing.T) {
	const body = "0123456789"
	strong, weak := []string{`ETag: "v"`}, []string{`ETag: W/"v"`}
	f := func(what, target string, head []string, status int, want, span string, fields ...string) {
		t.Helper()
		for _, stored := range []bool{true, false} {
			o := newOrigin(t, "")
			lines := append([]string{"Cache-Control: max-age=60", "Date: " + o.date(0), "Last-Modified: " + o.date(-time.Hour)}, head...)
			o.reply(200, body, lines...)
			if stored {
				o.ask("/a")
			}
			g := o.ask(target, fields...)
			if g.status != status || g.body != want || g.field("Content-Range") != span || g.hits() != stored || o.count() != 1 {
				t.Errorf("%s, stored %v: %d %q %q %s, want %d %q %q", what, stored, g.status, g.body, g.field("Content-Range"), g.as,
					status, want, span)
			}
			if again := o.ask("/a"); again.status != 200 || again.body != body || o.count() != 1 {
				t.Errorf("%s, stored %v: the whole is %d %q then", what, stored, again.status, again.body)
			}
		}
	}
	f("a part", "/a", strong, 206, "234", "bytes 2-4/10", "Range: bytes=2-4")
	f("one byte", "/a", strong, 206, "0", "bytes 0-0/10", "Range: bytes=0-0")
	f("the last byte", "/a", strong, 206, "9", "bytes 9-9/10", "Range: bytes=9-")
	f("the end", "/a", strong, 206, "789", "bytes 7-9/10", "Range: bytes=-3")
	f("an end larger than all", "/a", strong, 206, body, "bytes 0-9/10", "Range: bytes=-30")
	f("more than there is", "/a", strong, 206, "89", "bytes 8-9/10", "Range: bytes=8-99")
	f("numbers without end", "/a", strong, 206, "89", "bytes 8-9/10", "Range: bytes=8-"+strings.Repeat("9", 40))
	f("a unit in another case", "/a", strong, 206, "0", "bytes 0-0/10", "Range: BYTES=0-0")
	f("beyond the end", "/a", strong, 416, "", "bytes */10", "Range: bytes=10-")
	f("the last none", "/a", strong, 416, "", "bytes */10", "Range: bytes=-0")
	f("one that is there and one that is not", "/a", strong, 206, "1", "bytes 1-1/10", "Range: bytes=1-1, 20-30")
	f("backwards", "/a", strong, 200, body, "", "Range: bytes=4-2")
	f("another unit", "/a", strong, 200, body, "", "Range: lines=1-2")
	f("no list", "/a", strong, 200, body, "", "Range: bytes=a-b")
	f("no ranges", "/a", strong, 200, body, "", "Range: bytes=")
	f("two lines", "/a", strong, 200, body, "", "Range: bytes=0-0", "Range: bytes=1-1")
	f("HEAD", "HEAD /a", strong, 200, "", "", "Range: bytes=0-0")

	f("If-Range, the tag", "/a", strong, 206, "0", "bytes 0-0/10", "Range: bytes=0-0", `If-Range: "v"`)
	f("If-Range, another tag", "/a", strong, 200, body, "", "Range: bytes=0-0", `If-Range: "w"`)
	f("If-Range, a weak tag", "/a", strong, 200, body, "", "Range: bytes=0-0", `If-Range: W/"v"`)
	f("If-Range, of what is weak", "/a", weak, 200, body, "", "Range: bytes=0-0", `If-Range: W/"v"`)
	f("If-Range, strong of what is weak", "/a", weak, 200, body, "", "Range: bytes=0-0", `If-Range: "v"`)
	f("If-Range, no tag there", "/a", nil, 200, body, "", "Range: bytes=0-0", `If-Range: "v"`)
	f("If-Range, two lines", "/a", strong, 200, body, "", "Range: bytes=0-0", `If-Range: "v"`, `If-Range: "w"`)
	f("If-Range, no date", "/a", strong, 200, body, "", "Range: bytes=0-0", `If-Range: yesterday`)
	f("If-Range without Range", "/a", strong, 200, body, "", `If-Range: "v"`)
}

// TestIfRangeDate: a date stands for the same bytes if it is that of the answer, which is so old that it would have
// shown a change within its second (RFC 9110 section 8.8.2.2).
func TestIfRangeDate(t *testing.T) {
	f := func(what string, modified, asks time.Duration, status int) {
		t.Helper()
		o := newOrigin(t, "")
		o.reply(200, "0123456789", "Cache-Control: max-age=60", "Date: "+o.date(0), "Last-Modified: "+o.date(modified))
		o.ask("/a")
		if g := o.ask("/a", "Range: bytes=0-0", "If-Range: "+o.date(asks)); g.status != status {
			t.Errorf("%s: %d, want %d", what, g.status, status)
		}
	}
	f("the same", -time.Hour, -time.Hour, 206)
	f("older", -time.Hour, -2*time.Hour, 200)
	f("later", -time.Hour, -time.Minute, 200)
	f("the same, just changed", 0, 0, 200)
	f("the same, changed in the second before", -time.Second, -time.Second, 206)
}

// TestManyParts: several parts of a body are those that were asked for, in their order.
func TestManyParts(t *testing.T) {
	const body = "0123456789"
	o := newOrigin(t, "")
	o.reply(200, body, "Cache-Control: max-age=60", "Content-Type: text/x", "X-Other: 1", `ETag: "v"`)
	f := func(ranges string, want ...string) {
		t.Helper()
		if g := o.ask("/a"); g.status != 200 {
			t.Fatal(g.status)
		}
		g := o.ask("/a", "Range: bytes="+ranges)
		kind, params, err := mime.ParseMediaType(g.field("Content-Type"))
		if g.status != 206 || err != nil || kind != "multipart/byteranges" || g.field("X-Other") != "1" || g.field("Content-Range") != "" {
			t.Errorf("%s: %d %q %v", ranges, g.status, g.lines, err)
			return
		}
		var have []string
		for r := multipart.NewReader(strings.NewReader(g.body), params["boundary"]); ; {
			part, err := r.NextRawPart()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(part)
			if err != nil || part.Header.Get("Content-Type") != "text/x" {
				t.Errorf("%s: %q %v", ranges, part.Header, err)
			}
			have = append(have, part.Header.Get("Content-Range")+" "+string(b))
		}
		if fmt.Sprint(have) != fmt.Sprint(want) {
			t.Errorf("%s: %q, want %q", ranges, have, want)
		}
	}
	f("0-0,9-9", "bytes 0-0/10 0", "bytes 9-9/10 9")
	f("5-6, 0-1", "bytes 5-6/10 56", "bytes 0-1/10 01")
	f("-2,0-1,20-30", "bytes 8-9/10 89", "bytes 0-1/10 01")
	f("0-1,1-2", "bytes 0-1/10 01", "bytes 1-2/10 12")
	for _, greedy := range []string{"0-9,0-9", "0-,-10", strings.Repeat("0-0,", 17) + "1-1", "0-0,x"} {
		if g := o.ask("/a", "Range: bytes="+greedy); g.status != 200 || g.body != body {
			t.Errorf("%s: %d %q", greedy, g.status, g.body)
		}
	}
	if o.count() != 1 {
		t.Errorf("the target was asked %d times", o.count())
	}
}

// TestPartsOfLarge: parts of a body in chunks, and of one that comes while it is read, have the bytes of the whole,
// wherever they begin and end.
func TestPartsOfLarge(t *testing.T) {
	body := make([]byte, 300_000)
	for i := range body {
		body[i] = byte(i % 251)
	}
	pieces := func() (all []string) {
		for b := body; len(b) > 0; {
			n := min(7777, len(b))
			all, b = append(all, string(b[:n])), b[n:]
		}
		return all
	}
	o := newOrigin(t, "")
	length := int64(0)
	o.says = func(x *edge.Exchange) *edge.Fault {
		answer(x, 200, "", "Cache-Control: max-age=60", `ETag: "v"`)
		x.Out, x.OutLen = &fragile{pieces: pieces(), end: io.EOF}, length
		return nil
	}
	rapid.Check(t, func(t *rapid.T) {
		length = rapid.SampledFrom([]int64{-1, int64(len(body))}).Draw(t, "length")
		edgeOf := rapid.SampledFrom([]int{0, 1, 7776, 7777, 65535, 65536, 131072, 131073, 200_000, 299_999})
		from, to := edgeOf.Draw(t, "from"), edgeOf.Draw(t, "to")
		if from > to {
			from, to = to, from
		}
		target := fmt.Sprint("/", rapid.IntRange(0, 20).Draw(t, "path"))
		g := o.ask(target, fmt.Sprintf("Range: bytes=%d-%d", from, to))
		want := body[from : to+1]
		if g.status == 200 && length < 0 && !g.hits() {
			want = body // how long it is was not known yet
		}
		if g.err != nil || !bytes.Equal([]byte(g.body), want) || g.status == 206 && int64(len(want)) != g.x.OutLen {
			t.Fatalf("%d: %d bytes, want %d; %v", g.status, len(g.body), len(want), g.err)
		}
	})
}

// TestHead: HEAD is answered as GET is, without the body, and has all of it fetched and stored; with fetch_whole = false
// it is passed on.
func TestHead(t *testing.T) {
	o := newOrigin(t, "")
	o.reply(200, "0123456789", "Cache-Control: max-age=60", "X-Some: thing")
	head := o.ask("HEAD /a")
	if head.status != 200 || head.body != "" || head.x.OutLen != 10 || head.field("X-Some") != "thing" || string(o.last().Method) != "GET" {
		t.Errorf("%d %q %d %q", head.status, head.body, head.x.OutLen, head.lines)
	}
	if g := o.ask("/a"); g.body != "0123456789" || !g.hits() {
		t.Error(g.body, g.as)
	}
	if g := o.ask("HEAD /a"); g.body != "" || g.x.OutLen != 10 || !g.hits() {
		t.Error(g.body, g.as)
	}
	o = newOrigin(t, "fetch_whole = false")
	o.reply(200, "", "Cache-Control: max-age=60")
	for _, field := range []string{"X: 1", "Range: bytes=0-0"} {
		if g := o.ask("HEAD /a", field); !strings.Contains(g.as, "detail=part") || string(o.last().Method) != "HEAD" {
			t.Error(g.as, string(o.last().Method))
		}
	}
}

// TestPartUnfit: who asks for a part of what is not to be stored has that part from the target, not all of it.
func TestPartUnfit(t *testing.T) {
	for _, target := range []string{"/a", "HEAD /a"} {
		o := newOrigin(t, "")
		o.says = func(x *edge.Exchange) *edge.Fault {
			if x.Req.Has("Range") || string(x.Method) == "HEAD" {
				answer(x, 206, "0", "Content-Range: bytes 0-0/10", "Cache-Control: private")
			} else {
				answer(x, 200, "0123456789", "Cache-Control: private")
			}
			return nil
		}
		for i := range 3 { // the third knows
			if g := o.ask(target, "Range: bytes=0-0"); g.status != 206 || g.field("Content-Range") != "bytes 0-0/10" {
				t.Errorf("%s, request %d: %d %q", target, i, g.status, g.lines)
			}
		}
		if n := o.count(); n != 4 {
			t.Errorf("%s: the target was asked %d times", target, n)
		}
	}
}
