package wire

import "testing"

func TestMend(t *testing.T) {
	f := func(src, want string) {
		t.Helper()
		end := AnswerEnd([]byte(src+"more\n\n"), 0)
		if end != len(src) {
			t.Fatalf("%q: end at %d", src, end)
		}
		got, v := Mend([]byte("x"), []byte(src))
		if v != nil || string(got) != "x"+want {
			t.Fatalf("%q:\n got %q, %v\nwant %q", src, got, v, want)
		}
	}
	whole := "HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n"
	f(whole, whole)
	f("HTTP/1.1 200 OK\nA: b\nC: d\n\n", whole)
	f("HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\n", whole)
	f("HTTP/1.1 200 OK\nA: b\nC: d\n\r\n", whole)
	f("HTTP/1.1 200 OK\r\nA:\r\n b\r\nC: d\r\n \t\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\nC: d \r\n\r\n")
	f("HTTP/1.1 200 OK\nA: b \n\t c\n d\nContent-Length: 1\n\n",
		"HTTP/1.1 200 OK\r\nA: b  c d\r\nContent-Length: 1\r\n\r\n")
	f("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n") // ScanResponse refuses it

	bad := func(src string) {
		t.Helper()
		if got, v := Mend([]byte("x"), []byte(src)); v != &responseFaults[faultFold] || string(got) != "x" {
			t.Fatalf("%q: %q, %v", src, got, v)
		}
	}
	bad("HTTP/1.1 200 OK\r\n A: b\r\n\r\n")
	bad("HTTP/1.1 200 OK\n\tA: b\n\n")
	bad("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 2\r\n\r\n")
	bad("HTTP/1.1 200 OK\r\ntransfer-encoding:\r\n chunked\r\n\r\n")
	bad("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n \n\n")
}

func TestMendable(t *testing.T) {
	f := func(src string, want bool) {
		t.Helper()
		var m Response
		if _, v := ScanResponse(nil, []byte(src), &m, MaxFields); v == nil || v.Mendable() != want {
			t.Errorf("%q: %v", src, v)
		}
	}
	f("HTTP/1.1 200 OK\nA: b\n\n", true)
	f("HTTP/1.1 200 OK\r\nA: b\n\r\n", true)
	f("HTTP/1.1 200 OK\r\nA: b\r\n\n", true)
	f("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", true)
	f("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", false)
	f("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", false)
	f("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\n", false)
}
