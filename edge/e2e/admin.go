package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Purge purges what a query of the admin interface says, and returns how many answers it says have gone.
func (g *Gateway) Purge(query string) (purged int) {
	g.T.Helper()
	resp, err := http.Post("http://"+g.Admin+"/cache/main/purge?"+query, "", nil)
	if err != nil {
		g.T.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body) // what is cut cannot be read below
	if _, err := fmt.Sscanf(string(b), `{"purged": %d}`, &purged); err != nil || resp.StatusCode != 200 {
		g.T.Fatalf("%s: %d %s", query, resp.StatusCode, b)
	}
	return purged
}

// Purges purges what selectors as "name=value" say, the values as they are, and returns the answer.
func (g *Gateway) Purges(selectors ...string) (status int, kind, body string) {
	g.T.Helper()
	q := url.Values{}
	for _, s := range selectors {
		name, value, _ := strings.Cut(s, "=")
		q.Add(name, value)
	}
	resp, err := http.Post("http://"+g.Admin+"/cache/main/purge?"+q.Encode(), "", nil)
	if err != nil {
		g.T.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body) // what is cut shows in the comparison
	return resp.StatusCode, resp.Header.Get("Content-Type"), string(b)
}

// DrainTarget takes a target out, or with verb undrain brings it back.
func (g *Gateway) DrainTarget(verb, addr string) {
	g.T.Helper()
	resp, err := http.Post("http://"+g.Admin+"/pools/app/targets/"+addr+"/"+verb, "", nil)
	if err != nil {
		g.T.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 204 {
		g.T.Fatalf("%s %s: %d", verb, addr, resp.StatusCode)
	}
}

// Resets calls the admin endpoint; it returns the status and how many keys were reset.
func (g *Gateway) Resets(limit, query string) (status, n int) {
	g.T.Helper()
	resp, err := http.Post("http://"+g.Admin+"/rate_limits/"+limit+"/reset?"+query, "", nil)
	if err != nil {
		g.T.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.T.Fatal(err)
	}
	var body struct{ Reset *int }
	if resp.StatusCode == 200 && (json.Unmarshal(b, &body) != nil || body.Reset == nil) {
		g.T.Errorf("reset of %s: %q", limit, b)
	}
	if body.Reset != nil {
		n = *body.Reset
	}
	return resp.StatusCode, n
}

// Order sends an order for a target of a pool to the admin API and returns the status and text of its answer.
func (g *Gateway) Order(pool, addr, what string) (int, string) {
	g.T.Helper()
	resp, err := http.Post("http://"+g.Admin+"/pools/"+pool+"/targets/"+addr+"/"+what, "", nil)
	if err != nil {
		g.T.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body) // what is missing shows in the comparison
	return resp.StatusCode, string(b)
}
