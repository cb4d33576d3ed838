package health

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const grpcMethod = "/grpc.health.v1.Health/Check"

// grpcPrefix is the length of what stands before a message: a byte that tells of compression, and the size.
const grpcPrefix = 5

// grpcRequest returns the message HealthCheckRequest{service = 1} with its prefix.
func grpcRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = append(message, 1<<3|wireBytes)
		message = binary.AppendUvarint(message, uint64(len(service)))
		message = append(message, service...)
	}
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return append(frame, message...)
}

func (h *Checker) checkGRPC(ctx context.Context, nc net.Conn) error {
	cc, err := h.http2(ctx, nc)
	if err != nil {
		return err
	}
	defer func() { _ = cc.Close() }() // closes nc, which its owner does anyway
	resp, err := cc.RoundTrip(h.grpcCall(ctx, nc))
	if err != nil {
		return h.failed(ctx, "answer", "no gRPC answer: ", err)
	}
	defer func() { _ = resp.Body.Close() }() // does not wait for the rest
	if resp.StatusCode != http.StatusOK {
		return sawf("HTTP status %d of a gRPC call, want 200", resp.StatusCode)
	}
	if kind := resp.Header.Get("Content-Type"); !isGRPC(kind) {
		return sawf("answer of content type %q is not gRPC", kind)
	}
	if err := grpcError(resp.Header); err != nil { // an answer without a body
		return err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return h.failed(ctx, "whole answer", "answer cut short: ", err)
	case len(body) > maxBody:
		return sawf("answer larger than %d KiB", maxBody>>10)
	}
	return grpcAnswer(resp, body)
}

// http2 makes nc an HTTP/2 connection.
func (h *Checker) http2(ctx context.Context, nc net.Conn) (*http.ClientConn, error) {
	t := &http.Transport{DisableCompression: true, MaxResponseHeaderBytes: maxHead}
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP2(true)
	t.Protocols.SetUnencryptedHTTP2(true)
	dial := func(context.Context, string, string) (net.Conn, error) { return nc, nil }
	t.DialContext, t.DialTLSContext = dial, dial
	if client, ok := nc.(*tls.Conn); ok && client.ConnectionState().NegotiatedProtocol != "h2" {
		return nil, sawf("the target does not offer HTTP/2, which gRPC needs")
	}
	// The address stands for nothing: dial has the connection.
	cc, err := t.NewClientConn(ctx, scheme(nc), "target:0")
	if err != nil {
		return nil, h.failed(ctx, "answer", "no gRPC answer: ", err)
	}
	return cc, nil
}

func scheme(nc net.Conn) string {
	if _, ok := nc.(*tls.Conn); ok {
		return "https"
	}
	return "http"
}

func (h *Checker) grpcCall(ctx context.Context, nc net.Conn) *http.Request {
	r := &http.Request{Method: http.MethodPost, Host: h.host,
		URL:    &url.URL{Scheme: scheme(nc), Host: h.host, Path: grpcMethod},
		Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(h.request)), ContentLength: -1}
	r.Header.Set("User-Agent", userAgent)
	for name, value := range h.conf.Headers {
		r.Header.Set(name, value)
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Te", "trailers")
	if deadline, ok := ctx.Deadline(); ok {
		left := max(time.Until(deadline).Milliseconds(), 1)
		r.Header.Set("Grpc-Timeout", strconv.FormatInt(left, 10)+"m")
	}
	return r.WithContext(ctx)
}

// isGRPC: the subtype may say how messages are encoded; Protobuf is what it says when it does not.
func isGRPC(contentType string) bool {
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	kind = strings.TrimSpace(kind)
	return kind == "application/grpc" || kind == "application/grpc+proto"
}

// grpcError returns the error that a grpc-status in fields stands for, nil when there is none or it is OK.
func grpcError(fields http.Header) error {
	text := fields.Get("Grpc-Status")
	if text == "" || text == "0" {
		return nil
	}
	message, err := url.PathUnescape(fields.Get("Grpc-Message"))
	if err != nil {
		message = fields.Get("Grpc-Message")
	}
	switch code := grpcCodeName(text); text {
	case "5":
		return sawf("grpc error %s: the server does not know the service: %s", code, message)
	case "12":
		return sawf("grpc error %s: the server has no health service", code)
	default:
		return sawf("grpc error %s: %s", code, message)
	}
}

// grpcAnswer judges an answer whose body was read to its end, which is what brings the trailer.
func grpcAnswer(resp *http.Response, body []byte) error {
	if err := grpcError(resp.Trailer); err != nil {
		return err
	}
	if resp.Trailer.Get("Grpc-Status") == "" && resp.Header.Get("Grpc-Status") == "" {
		return sawf("answer without a grpc-status")
	}
	message, err := grpcMessage(body)
	if err != nil {
		return err
	}
	status, err := servingStatus(message)
	switch {
	case err != nil:
		return sawf("answer is not a HealthCheckResponse: %s", err)
	case status != 1:
		return sawf("grpc status %s", servingName(status))
	}
	return nil
}

// grpcMessage returns the one message that body must hold.
func grpcMessage(body []byte) ([]byte, error) {
	switch {
	case len(body) < grpcPrefix:
		return nil, sawf("answer without a message")
	case body[0] != 0:
		return nil, sawf("answer is compressed, which was not asked for")
	}
	message := body[grpcPrefix:]
	if size := binary.BigEndian.Uint32(body[1:]); uint64(size) != uint64(len(message)) {
		return nil, sawf("message of %d bytes in an answer of %d", size, len(message))
	}
	return message, nil
}

// The wire types of Protobuf.
const (
	wireVarint = 0
	wire64     = 1
	wireBytes  = 2
	wire32     = 5
)

var errMessage = errors.New("malformed message")

// servingStatus returns field 1 of a HealthCheckResponse, 0 when it has none. Other fields are skipped, and
// the last of several counts, as in every Protobuf message.
func servingStatus(message []byte) (status uint64, err error) {
	for len(message) > 0 {
		key, n := binary.Uvarint(message)
		if n <= 0 || key>>3 == 0 {
			return 0, errMessage
		}
		message = message[n:]
		size, value := fieldSize(key&7, message)
		if size < 0 || size > len(message) {
			return 0, errMessage
		}
		if key == 1<<3|wireVarint {
			status = value
		}
		message = message[size:]
	}
	return status, nil
}

// fieldSize returns how many bytes of rest a field takes, -1 when it is malformed or a group, and the value
// of a varint.
func fieldSize(wire uint64, rest []byte) (size int, value uint64) {
	switch wire {
	case wire64:
		return 8, 0
	case wire32:
		return 4, 0
	}
	value, n := binary.Uvarint(rest)
	switch {
	case n <= 0:
		return -1, 0
	case wire == wireVarint:
		return n, value
	case wire == wireBytes && value <= uint64(len(rest)):
		return n + int(value), 0
	}
	return -1, 0
}

func servingName(status uint64) string {
	switch status {
	case 0:
		return "UNKNOWN"
	case 2:
		return "NOT_SERVING"
	case 3:
		return "SERVICE_UNKNOWN"
	}
	return strconv.FormatUint(status, 10)
}
