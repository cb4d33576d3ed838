//go:build !race

package hop

import (
	"bytes"
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

func TestInProcessBodies(t *testing.T) {
	target := e2e.HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if r.URL.Query().Get("chunked") != "" {
			w.(http.Flusher).Flush()
		}
		w.Write(b)
	})
	addr := inProcess(t, e2e.Simple(target))
	f := func(size int, query string, chunked bool) {
		t.Helper()
		want := make([]byte, size)
		rand.Read(want)
		var body io.Reader = bytes.NewReader(want)
		if chunked {
			body = io.MultiReader(body, strings.NewReader(""))
		}
		resp, err := http.Post("http://"+addr+"/x"+query, "application/octet-stream", body)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, query %q, chunked %v: got %d bytes, status %d, error %v", size, query, chunked,
				len(got), resp.StatusCode, err)
		}
	}
	for _, size := range []int{0, 1, 100, 4096, 5000, 40000, 1 << 20, 9 << 20} {
		for _, chunked := range []bool{false, true} {
			f(size, "", chunked)
			f(size, "?chunked=1", chunked)
		}
	}
}
