package health

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
)

const userAgent = "penstock-health"

const (
	maxHead = 64 << 10 // bytes of an answer's head, with the 1xx before it
	maxBody = 64 << 10 // bytes of a body that are looked at
)

// httpRequest returns the request of a check. Checked texts alone go into it: see Config.Validate.
func httpRequest(c *Config, host string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", c.Method, c.Path, host)
	if !hasHeader(c, "user-agent") {
		b.WriteString("User-Agent: " + userAgent + "\r\n")
	}
	if c.Method == http.MethodPost {
		b.WriteString("Content-Length: 0\r\n")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		fmt.Fprintf(&b, "%s: %s\r\n", name, c.Headers[name])
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

func hasHeader(c *Config, name string) bool {
	for have := range c.Headers {
		if strings.EqualFold(have, name) {
			return true
		}
	}
	return false
}

func (h *Checker) checkHTTP(ctx context.Context, nc net.Conn) error {
	if _, err := nc.Write(h.request); err != nil {
		return h.failed(ctx, "answer", "cannot send the request: ", err)
	}
	in := &io.LimitedReader{R: nc, N: maxHead}
	resp, err := readHead(bufio.NewReader(in), h.conf.Method)
	if err != nil {
		return h.headFailed(ctx, in, err)
	}
	// The body is never closed: that would read it to an end which may not come. It holds nothing.
	if !h.conf.Status.Has(resp.StatusCode) {
		return sawf("status %d, want %s", resp.StatusCode, h.conf.Status)
	}
	if !h.conf.wantsBody() {
		return nil
	}
	in.N = math.MaxInt64
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	switch {
	case err != nil:
		return h.failed(ctx, "whole body", "body cut short: ", err)
	case !h.conf.Body.Match(body):
		return sawf("body does not match")
	}
	return nil
}

// readHead reads the head of the final answer, RFC 9110 section 15.2.
func readHead(r *bufio.Reader, method string) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil || resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
	}
}

func (h *Checker) headFailed(ctx context.Context, in *io.LimitedReader, err error) error {
	switch {
	case isOver(ctx), isLost(err) && in.N == maxHead:
		return h.failed(ctx, "answer", "no answer: ", err)
	case in.N <= 0:
		return sawf("head of the answer larger than %d KiB", maxHead>>10)
	case isLost(err):
		return h.failed(ctx, "answer", "answer cut short: ", err)
	}
	return h.failed(ctx, "answer", "not an HTTP answer: ", err)
}
