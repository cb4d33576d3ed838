package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// browserHead is what a browser sends for a page: 16 fields in about 1 KB, a third of it cookies.
var browserHead = head(
	"GET /v1/users/12345/orders?limit=50&sort=-created HTTP/1.1",
	"Host: api.example.com",
	"Connection: keep-alive",
	"Cache-Control: max-age=0",
	"Sec-Ch-Ua: \"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"",
	"Sec-Ch-Ua-Mobile: ?0",
	"Sec-Ch-Ua-Platform: \"Linux\"",
	"Upgrade-Insecure-Requests: 1",
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
	"Sec-Fetch-Site: same-origin",
	"Sec-Fetch-Mode: navigate",
	"Sec-Fetch-Dest: document",
	"Referer: https://www.example.com/account/orders",
	"Accept-Encoding: gzip, deflate, br, zstd",
	"Accept-Language: en-US,en;q=0.9",
	"Cookie: session=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef; theme=dark; "+
		"_visitor=V1.2.1234567890.1764000000; consent=necessary|statistics; cart=8f14e45fceea167a5a36dedd4bea2543; "+
		"csrf=c9f0f895fb98ab9159f51fd0297e236d45c48cce2e2d7fbdea1afc51c7c6ad26; lang=en; tz=Europe/Berlin",
)

// smallHead is what a program sends.
var smallHead = head("GET /ping HTTP/1.1", "Host: api.example.com", "User-Agent: curl/8.5.0", "Accept: */*")

// answerHead is what an application answers.
var answerHead = head(
	"HTTP/1.1 200 OK",
	"Server: nginx",
	"Date: Mon, 23 Nov 2026 12:00:00 GMT",
	"Content-Type: application/json; charset=utf-8",
	"Content-Length: 1024",
	"Connection: keep-alive",
	"Cache-Control: private, max-age=0, no-cache",
	"ETag: \"0123456789abcdef\"",
	"Vary: Accept-Encoding",
	"X-Content-Type-Options: nosniff",
)

// fullHead has start as its first line and MaxFields fields, Host among them.
func fullHead(start string) string {
	lines := []string{start, "Host: api.example.com"}
	for i := range MaxFields - 1 {
		lines = append(lines, fmt.Sprintf("X-Field-%03d: value-of-field-%03d", i, i))
	}
	return head(lines...)
}

func benchmarkRequest(b *testing.B, src string) {
	in, dst := []byte(src), make([]byte, 0, 8<<10)
	var m Request
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, v := ScanRequest(dst, in[:HeadEnd(in, 0)], &m); v != nil {
			b.Fatal(v)
		}
	}
}

func BenchmarkRequestBrowser(b *testing.B) { benchmarkRequest(b, browserHead) }
func BenchmarkRequestSmall(b *testing.B)   { benchmarkRequest(b, smallHead) }
func BenchmarkRequestFull(b *testing.B)    { benchmarkRequest(b, fullHead("GET /ping HTTP/1.1")) }
func BenchmarkRequestNamed(b *testing.B) {
	benchmarkRequest(b, head("GET / HTTP/1.1", "Host: a", "Connection: x-a, x-b", "X-A: 1", "X-C: 2"))
}

func BenchmarkRequestScanOnly(b *testing.B) {
	in, dst := []byte(browserHead), make([]byte, 0, 4<<10)
	var m Request
	b.ReportAllocs()
	for b.Loop() {
		_, _ = ScanRequest(dst, in, &m)
	}
}

func BenchmarkHeadEnd(b *testing.B) {
	in := []byte(browserHead)
	b.ReportAllocs()
	for b.Loop() {
		_ = HeadEnd(in, 0)
	}
}

func BenchmarkRequestRefused(b *testing.B) {
	in, dst := []byte(head("GET / HTTP/1.1", "Host: a", "X : y")), make([]byte, 0, 4<<10)
	var m Request
	b.ReportAllocs()
	for b.Loop() {
		_, _ = ScanRequest(dst, in, &m)
	}
}

func benchmarkResponse(b *testing.B, src string) {
	in, dst := []byte(src), make([]byte, 0, 8<<10)
	var m Response
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		if _, v := ScanResponse(dst, in, &m, MaxFields); v != nil {
			b.Fatal(v)
		}
	}
}

func BenchmarkResponse(b *testing.B) { benchmarkResponse(b, answerHead) }
func BenchmarkResponseSmall(b *testing.B) {
	benchmarkResponse(b, head("HTTP/1.1 200 OK", "Date: Mon, 23 Nov 2026 12:00:00 GMT", "Content-Length: 128"))
}
func BenchmarkResponseFull(b *testing.B) { benchmarkResponse(b, fullHead("HTTP/1.1 200 OK")) }

func benchmarkChunked(b *testing.B, body string) {
	src := strings.NewReader("")
	p := make([]byte, 32<<10)
	var r Reader
	var c Chunked
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		src.Reset(body)
		r.Reset(src, 16<<10, 16<<10)
		c.Reset(&r, 4<<10)
		for err := error(nil); !errors.Is(err, io.EOF); {
			_, err = c.Read(p)
		}
	}
}

func chunks(size, count int) string {
	chunk := string(AppendChunkHeader(nil, size)) + strings.Repeat("x", size) + "\r\n"
	return strings.Repeat(chunk, count) + "0\r\n\r\n"
}

func BenchmarkChunkedLarge(b *testing.B) { benchmarkChunked(b, chunks(32<<10, 32)) }
func BenchmarkChunkedSmall(b *testing.B) { benchmarkChunked(b, chunks(16, 1024)) }
