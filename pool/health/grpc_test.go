package health

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }

// framed returns a message as gRPC sends it.
func framed(message string) string {
	return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))) + message
}

// grpcServer is net/http as a gRPC server, over h2c or TLS; its certificate is good for 127.0.0.1.
func grpcServer(t *testing.T, secure bool, serve http.HandlerFunc) Target {
	t.Helper()
	s := httptest.NewUnstartedServer(serve)
	s.Config.ErrorLog = quiet()
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(!secure)
	s.Config.Protocols.SetHTTP2(secure)
	s.EnableHTTP2 = secure
	to := Target{Host: "g.example"}
	if secure {
		s.StartTLS()
		roots := s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		to.TLS = by(&tls.Config{RootCAs: roots})
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	to.Address = s.Listener.Addr().String()
	return to
}

// answer returns a handler that answers with a body and a grpc-status; the status "" is left out.
func answer(body, status, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		io.WriteString(w, body)
		if status != "" {
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", status)
			w.Header().Set(http.TrailerPrefix+"Grpc-Message", message)
		}
	}
}

func TestGRPC(t *testing.T) {
	f := func(what, want string, serve http.HandlerFunc) {
		t.Helper()
		for _, secure := range []bool{false, true} {
			timeout := "1m"
			if strings.Contains(want, "within") {
				timeout = "500ms"
			}
			h := NewChecker(good(t, "kind = 'grpc'\ntimeout = '"+timeout+"'"), grpcServer(t, secure, serve))
			wantError(t, what, h.Check(t.Context()), want)
		}
	}
	f("serving", "", answer(framed("\x08\x01"), "0", ""))
	f("not serving", "grpc status NOT_SERVING", answer(framed("\x08\x02"), "0", ""))
	f("unknown service", "grpc status SERVICE_UNKNOWN", answer(framed("\x08\x03"), "0", ""))
	f("unknown", "grpc status UNKNOWN", answer(framed(""), "0", ""))
	f("new status", "grpc status 9", answer(framed("\x08\x09"), "0", ""))
	f("no service", "grpc error UNIMPLEMENTED: the server has no health service",
		answer("", "12", "unknown service grpc.health.v1.Health"))
	f("error", "grpc error UNAVAILABLE: not yet: é\"", answer("", "14", "not yet%3A %C3%A9%22%0A%00"))
	f("bad escape", "grpc error INTERNAL: %zz", answer("", "13", "%zz"))
	f("not found", "grpc error NOT_FOUND: the server does not know the service: x", answer("", "5", "x"))
	f("odd code", "grpc error 77", answer("", "77", ""))
	f("error behind a good message", "grpc error INTERNAL", answer(framed("\x08\x01"), "13", ""))
	f("without status", "answer without a grpc-status", answer(framed("\x08\x01"), "", ""))
	f("without message", "answer without a message", answer("", "0", ""))
	f("half a prefix", "answer without a message", answer("\x00\x00", "0", ""))
	f("short message", "message of 3 bytes in an answer of 2", answer("\x00\x00\x00\x00\x03\x08\x01", "0", ""))
	f("two messages", "message of 2 bytes in an answer of 9", answer(strings.Repeat(framed("\x08\x01"), 2), "0", ""))
	f("compressed", "answer is compressed", answer("\x01"+framed("\x08\x01")[1:], "0", ""))
	f("garbage message", "not a HealthCheckResponse: malformed message", answer(framed("\xff\xff"), "0", ""))
	f("much", "answer larger than 64 KiB", answer(strings.Repeat("a", maxBody+1), "0", ""))
	f("endless", "answer larger than 64 KiB", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		for _, err := io.WriteString(w, "a"); err == nil; {
			_, err = io.WriteString(w, strings.Repeat("a", 999))
		}
	})
	f("HTTP error", "HTTP status 503 of a gRPC call, want 200", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(503)
	})
	f("HTML", `answer of content type "text/html; charset=utf-8" is not gRPC`,
		func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>") })
	f("headers only", "grpc error UNIMPLEMENTED", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc+proto")
		w.Header().Set("Grpc-Status", "12")
	})
	f("silent", "no answer within 500ms", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	f("silent body", "no whole answer within 500ms", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	f("broken off", "answer cut short: ", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
}

func TestGRPCRequest(t *testing.T) {
	type call struct {
		*http.Request
		body string
	}
	calls := make(chan call, 1)
	to := grpcServer(t, false, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		calls <- call{r, string(body)}
		answer(framed("\x08\x01"), "0", "")(w, r)
	})
	f := func(lines, host, body string) {
		t.Helper()
		if err := NewChecker(good(t, "kind = 'grpc'\n"+lines), to).Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		c := <-calls
		if c.Method != "POST" || c.URL.Path != grpcMethod || c.Host != host || c.body != body ||
			c.Header.Get("Te") != "trailers" || c.Header.Get("Content-Type") != "application/grpc" ||
			!strings.HasSuffix(c.Header.Get("Grpc-Timeout"), "m") || c.UserAgent() != userAgent {
			t.Errorf("%s: %s %s of %q, %v, %q", lines, c.Method, c.URL, c.Host, c.Header, c.body)
		}
		if strings.Contains(lines, "X-A") && c.Header.Get("X-A") != "b" {
			t.Errorf("no metadata in %v", c.Header)
		}
	}
	f("", "g.example", "\x00\x00\x00\x00\x00")
	f("service = 'a.B'\nhost = 'h'\nheaders = { X-A = 'b' }", "h", "\x00\x00\x00\x00\x05\x0a\x03a.B")
	long := strings.Repeat("a", 200)
	f("service = '"+long+"'", "g.example", "\x00\x00\x00\x00\xcb\x0a\xc8\x01"+long)
}

// TestGRPCMisbehaving checks what is no gRPC server.
func TestGRPCMisbehaving(t *testing.T) {
	f := func(what string, to Target, want string) {
		t.Helper()
		timeout := "1m"
		if strings.Contains(want, "within") {
			timeout = "300ms"
		}
		h := NewChecker(good(t, "kind = 'grpc'\ntimeout = '"+timeout+"'"), to)
		wantError(t, what, h.Check(t.Context()), want)
	}
	raw := func(serve func(nc net.Conn)) Target { return Target{Address: rawServer(t, serve)} }
	f("deaf", raw(func(nc net.Conn) { io.Copy(io.Discard, nc) }), "no answer within 300ms")
	f("closes", raw(func(nc net.Conn) { nc.Read(make([]byte, 4096)) }), "no gRPC answer: ")
	f("HTTP/1.1", raw(func(nc net.Conn) {
		nc.Read(make([]byte, 4096))
		io.WriteString(nc, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
	}), "no gRPC answer: ")
	f("garbage", raw(func(nc net.Conn) {
		for _, err := nc.Write([]byte("x")); err == nil; {
			_, err = nc.Write(bytes.Repeat([]byte("garbage"), 100))
		}
	}), "no gRPC answer: ")

	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.Config.ErrorLog = quiet()
	old.StartTLS()
	t.Cleanup(old.Close)
	to := Target{Address: old.Listener.Addr().String(), TLS: by(&tls.Config{InsecureSkipVerify: true})}
	f("TLS without h2", to, "no application protocol")
	secure := grpcServer(t, true, answer(framed("\x08\x01"), "0", ""))
	secure.TLS = by(&tls.Config{})
	f("bad certificate", secure, "TLS handshake failed: tls: failed to verify certificate: x509: ")
	secure.TLS = nil
	f("plain to TLS", secure, "no gRPC answer: ")

	deaf := tlsWithoutALPN(t, old.TLS.Certificates)
	f("no ALPN", Target{Address: deaf, TLS: by(&tls.Config{InsecureSkipVerify: true})}, "does not offer HTTP/2")
}

func tlsWithoutALPN(t *testing.T, certificates []tls.Certificate) (address string) {
	t.Helper()
	return rawServer(t, func(nc net.Conn) {
		s := tls.Server(nc, &tls.Config{Certificates: certificates})
		io.Copy(io.Discard, s)
	})
}

func TestServingStatus(t *testing.T) {
	f := func(message string, want uint64, ok bool) {
		t.Helper()
		got, err := servingStatus([]byte(message))
		if got != want || (err == nil) != ok {
			t.Errorf("%x: %d, %v, want %d", message, got, err, want)
		}
	}
	f("", 0, true)
	f("\x08\x01", 1, true)
	f("\x08\x81\x00", 1, true)                                 // a varint may be longer than it must
	f("\x08\x02\x08\x01", 1, true)                             // the last one counts
	f("\x12\x02\x08\x02\x08\x01", 1, true)                     // bytes in field 2
	f("\x11\x08\x02\x08\x02\x08\x02\x08\x02\x08\x01", 1, true) // 64 bits in field 2
	f("\x15\x08\x02\x08\x02\x08\x01", 1, true)                 // 32 bits in field 2
	f("\x0a\x01\x08", 0, true)                                 // field 1 of another type is another field
	f("\x08", 0, false)
	f("\x08\x80", 0, false)
	f("\x12\x05a", 0, false)
	f("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0, false)
	f("\x11abc", 0, false)
	f("\x15abc", 0, false)
	f("\x0b\x0c", 0, false) // a group
	f("\x00\x01", 0, false) // there is no field 0
}

func FuzzGRPCMessage(f *testing.F) {
	f.Add([]byte(framed("\x08\x01")))
	f.Add([]byte(framed("\x12\x02\x08\x02\x08\x01")))
	f.Add([]byte(framed("\x11\x08\x02\x08\x02\x08\x02\x08\x02")))
	f.Add([]byte("\x01\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, body []byte) {
		message, err := grpcMessage(body)
		if err != nil {
			return
		}
		status, err := servingStatus(message)
		if err != nil {
			return
		}
		// A good message with one more field is good, and that one counts.
		more := binary.AppendUvarint(append(bytes.Clone(message), 1<<3|wireVarint), status+1)
		if got, err := servingStatus(more); err != nil || got != status+1 {
			t.Errorf("%x: %d, %v, want %d", more, got, err, status+1)
		}
	})
}

func FuzzHTTPAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.0 503 No\r\n\r\n"))
	f.Add([]byte("garbage"))
	c := good(f, "body = 'ok'\ntimeout = '10s'")
	f.Fuzz(func(t *testing.T, answer []byte) {
		nc := &memoryConn{r: bytes.NewReader(answer)}
		err := NewChecker(c, Target{Address: "a:1"}).checkHTTP(t.Context(), nc)
		switch {
		case err == nil && !bytes.Contains(answer, []byte("HTTP/")):
			t.Errorf("%q is healthy", answer)
		case err != nil:
			wantError(t, "fuzz", err, err.Error())
		}
	})
}

// memoryConn takes all that is written and answers with r.
type memoryConn struct {
	net.Conn
	r io.Reader
}

func (c *memoryConn) Write(b []byte) (int, error) { return len(b), nil }
func (c *memoryConn) Read(b []byte) (int, error)  { return c.r.Read(b) }
