package edge

import (
	"bufio"
	"bytes"
	"strconv"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge/lib/wire"
)

// head is the head of an answer. What a target sent stays as it came, lines checked and copied once, until
// somebody asks for it in fasthttp's form; most answers are never asked for.
type head struct {
	form   fasthttp.ResponseHeader
	status int
	reason []byte
	lines  []byte // fields, each with CRLF behind it
	spare  []byte // room for other lines
	asCame bool   // status, reason and lines are the head, not form
	dated  bool   // lines have Date
	claims bool   // lines have Via, X-Request-Id, or another field that proxies add
}

// reset keeps the memory.
func (h *head) reset() {
	h.form.Reset()
	h.reason, h.lines = h.reason[:0], h.lines[:0]
	h.status, h.asCame, h.dated, h.claims = 0, false, false, false
}

// ResetHead makes the head of the answer an empty 200.
func (x *Exchange) ResetHead() { x.head.reset() }

// TakeHead makes what m says the head of the answer; clean is the block that came with it. Framing fields are
// left out: who sends the answer on frames it anew.
func (x *Exchange) TakeHead(m *wire.Response, clean []byte) {
	h := &x.head
	h.status, h.dated, h.claims, h.asCame = m.Status, m.HasDate, m.Claims, true
	h.reason = append(h.reason[:0], m.Reason...)
	fields := clean[m.Fields : len(clean)-len("\r\n")]
	if at := bytes.Index(clean[m.Fields-2:], contentLength); at >= 0 { // in normal form, and once
		h.lines = append(h.lines[:0], fields[:at]...)
		fields = fields[at:]
		fields = fields[bytes.IndexByte(fields, '\n')+1:]
		h.lines = append(h.lines, fields...)
		return
	}
	h.lines = append(h.lines[:0], fields...)
}

var contentLength = []byte("\r\nContent-Length: ")

// SetHead makes a head that was kept that of the answer: lines are checked fields with CRLF behind each,
// without framing fields. dated tells that Date is among them.
func (x *Exchange) SetHead(status int, reason, lines []byte, dated bool) {
	h := &x.head
	h.status, h.dated, h.claims, h.asCame = status, dated, false, true
	h.reason = append(h.reason[:0], reason...)
	h.lines = append(h.lines[:0], lines...)
}

// Status returns the status of the answer.
func (x *Exchange) Status() int {
	if x.head.asCame {
		return x.head.status
	}
	return x.head.form.StatusCode()
}

// Resp returns the head of the answer, to be looked at and changed. It is parsed by the first call that
// follows TakeHead; who needs the status only, or adds a field, has Status and AddField, which do not parse.
func (x *Exchange) Resp() *fasthttp.ResponseHeader {
	if x.head.asCame {
		x.head.parse()
	}
	return &x.head.form
}

// AsCame returns the fields of the answer's head as the target sent them, with what AddField has added, and
// whether Date is among them; ok is false when the head is in Resp.
func (x *Exchange) AsCame() (reason, lines []byte, dated, ok bool) {
	h := &x.head
	return h.reason, h.lines, h.dated, h.asCame
}

// Claims tells that fields which proxies add (Via, X-Request-Id, …) may be in the answer's head already.
func (x *Exchange) Claims() bool { return !x.head.asCame || x.head.claims }

// AddField adds a line to the head of the answer. The value is a valid one already.
func (x *Exchange) AddField(name, value []byte) {
	h := &x.head
	if !h.asCame {
		h.form.AddBytesKV(name, value)
		return
	}
	h.lines = append(append(append(append(h.lines, name...), ": "...), value...), "\r\n"...)
}

// headReader parses lines.
type headReader struct {
	text []byte
	src  bytes.Reader
	rd   *bufio.Reader
}

var headReaders = sync.Pool{New: func() any { return &headReader{rd: bufio.NewReaderSize(nil, 4<<10)} }}

func (h *head) parse() {
	r := headReaders.Get().(*headReader)
	r.text = strconv.AppendInt(append(r.text[:0], "HTTP/1.1 "...), int64(h.status), 10)
	r.text = append(append(append(r.text, ' '), h.reason...), "\r\n"...)
	r.text = append(append(r.text, h.lines...), "\r\n"...)
	if r.rd.Size() < len(r.text) {
		r.rd = bufio.NewReaderSize(nil, len(r.text))
	}
	r.src.Reset(r.text)
	r.rd.Reset(&r.src)
	h.asCame = false
	h.form.SetNoDefaultContentType(true)
	err := h.form.Read(r.rd)
	if len(r.text) <= 64<<10 { // a rare giant head must not stay for ever
		headReaders.Put(r)
	}
	if err != nil {
		panic("BUG: a head that was checked cannot be read: " + err.Error())
	}
	h.form.SetNoDefaultContentType(true)
	h.form.SetProtocol(nil)
}
