package pools

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// perClient is a target that limits its clients each: the greedy one gets status, the others 200.
func perClient(t testing.TB, status int) string {
	t.Helper()
	return e2e.HTTPOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Client") == "greedy" {
			w.WriteHeader(status)
		}
	})
}

// TestAdmissionCountsNoClientsLimit: answers that a target means for one client are no refusals by the target, as
// long as the file does not say so: neither that client nor the others are refused by the gateway.
func TestAdmissionCountsNoClientsLimit(t *testing.T) {
	t.Parallel()
	const fields = "Host: a\r\nX-Client: %s\r\n\r\n"
	keys := "[pool.app.admission]\nwindow = \"1s\"\nmin_requests = 10\n"
	f := func(status int, more string, refuses bool) {
		t.Helper()
		g := e2e.Start(t, e2e.PoolOf(e2e.Quoted(perClient(t, status)), keys+more))
		refused := make([]bool, 8)
		var wg sync.WaitGroup
		for i := range refused {
			c := e2e.DialRaw(t, g.Addr)
			wg.Go(func() {
				who, want := "greedy", status
				if i%4 == 0 {
					who, want = fmt.Sprint("modest", i), 200
				}
				for range 300 {
					c.Send("GET /x HTTP/1.1\r\n" + fmt.Sprintf(fields, who))
					a := c.Answer("GET")
					if a.StatusCode == 503 && a.Code() == "upstream_throttled" {
						refused[i] = true
					} else if a.StatusCode != want {
						t.Errorf("%s got %d, want %d", who, a.StatusCode, want)
					}
				}
			})
		}
		wg.Wait()
		if !refuses && slices.Contains(refused, true) {
			t.Errorf("answers of %d %s: the gateway refuses requests of its own", status, more)
		}
		if refuses {
			c := e2e.DialRaw(t, g.Addr)
			e2e.Eventually(t, fmt.Sprintf("answers of %d %s count as refusals", status, more), func() bool {
				c.Send("GET /x HTTP/1.1\r\n" + fmt.Sprintf(fields, "greedy"))
				return c.Answer("GET").Code() == "upstream_throttled"
			})
		}
	}
	f(429, "", false)
	f(500, "", false)
	f(503, "", true)
	f(429, `status = "429,503"`, true)
}
