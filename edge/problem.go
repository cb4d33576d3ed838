package edge

import (
	"bytes"
	"html"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge/lib/logline"
)

// problem makes f the answer: problem+json (RFC 9457), or HTML or plain text when Accept asks for it. It
// never shows internals.
func (x *Exchange) problem(f *Fault) {
	x.Fault = f
	title := f.Title
	if title == "" {
		title = statusTitle(f.Status)
	}
	contentType := "application/problem+json"
	var room [256]byte
	switch prefer(x.Req.AppendList(room[:0], "Accept")) {
	case preferHTML:
		contentType = "text/html; charset=utf-8"
		x.scratch = appendHTML(x.scratch[:0], f, title, x.RequestID)
	case preferText:
		contentType = "text/plain; charset=utf-8"
		x.scratch = appendText(x.scratch[:0], f, title, x.RequestID)
	default:
		x.scratch = appendProblem(x.scratch[:0], f, title, x.RequestID)
	}
	x.Answer(f.Status, contentType, x.scratch)
	if f.RetryAfter > 0 {
		var room [20]byte
		x.Resp.SetBytes("Retry-After", strconv.AppendInt(room[:0], int64(f.RetryAfter), 10))
	}
	switch {
	case f.Status != 405:
	case len(x.Match.Allow) > 0:
		x.Resp.SetBytes("Allow", x.Match.Allow)
	default: // TRACE, CONNECT: no route is asked
		x.Resp.Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	}
	x.Close = x.Close || f.Close
}

var (
	typeHTML = []byte("text/html")
	typeText = []byte("text/plain")
	typeJSON = []byte("json")
)

func statusTitle(status int) string {
	if status == 499 {
		return "Client Closed Request" // not registered; the field's custom for the log
	}
	return fasthttp.StatusMessage(status)
}

type preference uint8

const (
	preferJSON preference = iota
	preferHTML
	preferText
)

// prefer reads Accept coarsely: HTML or text only when they stand before any JSON type.
func prefer(accept []byte) preference {
	i, j, k := bytes.Index(accept, typeHTML), bytes.Index(accept, typeText), bytes.Index(accept, typeJSON)
	switch {
	case i >= 0 && (k < 0 || i < k) && (j < 0 || i < j):
		return preferHTML
	case j >= 0 && (k < 0 || j < k):
		return preferText
	}
	return preferJSON
}

func appendProblem(dst []byte, f *Fault, title string, id []byte) []byte {
	dst = append(dst, `{"type":"about:blank","title":`...)
	dst = logline.AppendString(dst, title)
	dst = append(dst, `,"status":`...)
	dst = strconv.AppendInt(dst, int64(f.Status), 10)
	dst = append(dst, `,"detail":`...)
	dst = logline.AppendString(dst, f.Detail)
	dst = append(dst, `,"instance":`...)
	dst = logline.AppendBytes(dst, id)
	dst = append(dst, `,"code":`...)
	dst = logline.AppendString(dst, f.Code)
	return append(dst, "}\n"...)
}

func appendText(dst []byte, f *Fault, title string, id []byte) []byte {
	dst = strconv.AppendInt(dst, int64(f.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, title...)
	dst = append(dst, "\n\n"...)
	dst = append(dst, f.Detail...)
	dst = append(dst, "\n\ncode: "...)
	dst = append(dst, f.Code...)
	dst = append(dst, "\nrequest: "...)
	dst = append(dst, id...)
	return append(dst, '\n')
}

func appendHTML(dst []byte, f *Fault, title string, id []byte) []byte {
	dst = append(dst, "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>"...)
	dst = strconv.AppendInt(dst, int64(f.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, html.EscapeString(title)...)
	dst = append(dst, "</title>\n<h1>"...)
	dst = append(dst, html.EscapeString(title)...)
	dst = append(dst, "</h1>\n<p>"...)
	dst = append(dst, html.EscapeString(f.Detail)...)
	dst = append(dst, "</p>\n<p><small>code "...)
	dst = append(dst, html.EscapeString(f.Code)...)
	dst = append(dst, ", request "...)
	dst = append(dst, html.EscapeString(string(id))...)
	return append(dst, "</small></p>\n</html>\n"...)
}
