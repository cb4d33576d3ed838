package discovery

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// agent speaks Consul's blocking queries: an answer is held back while its index is not above the asked.
type agent struct {
	*httptest.Server
	mu      sync.Mutex
	index   string
	body    string
	status  int
	changed chan struct{} // closed on each change
	asked   []url.Values
	token   string
}

func newAgent(t testing.TB) *agent {
	a := &agent{status: 200, changed: make(chan struct{})}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func (a *agent) set(index, body string, status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.index, a.body, a.status = index, body, status
	close(a.changed)
	a.changed = make(chan struct{})
}

func (a *agent) queries() []url.Values {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]url.Values(nil), a.asked...)
}

func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	q := r.URL.Query()
	a.asked = append(a.asked, q)
	a.token = r.Header.Get("X-Consul-Token")
	asked, _ := strconv.Atoi(q.Get("index"))
	duration, _ := time.ParseDuration(q.Get("wait"))
	timeout := time.NewTimer(duration)
	defer timeout.Stop()
	for a.status == 200 && asked > 0 && strconv.Itoa(asked) == a.index {
		changed := a.changed
		a.mu.Unlock()
		select {
		case <-changed:
			a.mu.Lock()
			continue
		case <-timeout.C:
		case <-r.Context().Done():
		}
		a.mu.Lock()
		break
	}
	defer a.mu.Unlock()
	if a.index != "" {
		w.Header().Set("X-Consul-Index", a.index)
	}
	w.WriteHeader(a.status)
	fmt.Fprint(w, a.body)
}

const oneInstance = `[{"Node":{"Node":"n","Address":"10.0.0.1","Meta":{"zone":"z"}},"Service":{"Port":80},"Checks":[]}]`

func TestConsul(t *testing.T) {
	a := newAgent(t)
	a.set("5", `[
		{"Node": {"Address": "10.0.0.9", "Meta": {"zone": "node"}},
		 "Service": {"Address": "fd00::1", "Port": 80, "Weights": {"Passing": 10, "Warning": 1}, "Meta": {"zone": "svc"}}},
		{"Node": {"Address": "10.0.0.2", "Meta": {"zone": "node"}}, "Service": {"Address": "", "Port": 81, "Meta": null}},
		{"Node": {"Address": "10.0.0.3"}, "Service": {"Port": 0}}]`, 200)
	s := sourceOf(t, `{ consul = { address = %q, service = "users/x", datacenter = "dc", tag = "t", near = "_agent",
		token = "hush", wait = "10m" } }`, a.Listener.Addr())
	l := listen(t, s)
	l.wants("10.0.0.2:81/node [fd00::1]:80*10/svc")
	if n := s.(Dropper).Dropped(); n != 1 {
		t.Errorf("%d dropped", n)
	}
	until(t, "a blocking query", func() bool { return len(a.queries()) == 2 })
	if got := fmt.Sprint(a.queries()); got != "[map[dc:[dc] near:[_agent] passing:[1] tag:[t]] "+
		"map[dc:[dc] index:[5] near:[_agent] passing:[1] tag:[t] wait:[600000ms]]]" {
		t.Error(got)
	}
	if a.token != "hush" {
		t.Error("no token")
	}

	a.set("6", oneInstance, 200)
	l.wants("10.0.0.1:80/z")
	a.set("7", `[]`, 200)
	l.fails("empty")
	a.set("8", oneInstance, 200)
	l.wants("10.0.0.1:80/z")

	a.set("9", `token hush is <b>`, 500)
	l.fails("cannot ask Consul: status 500 Internal Server Error: token [secret] is <b>")
	a.set("9", oneInstance, 200)
	l.wants("10.0.0.1:80/z")
	for _, bad := range []string{"0", "", "-1", "x"} {
		a.set(bad, oneInstance, 200)
		l.failsOnce("no index above 0")
	}
	a.set("10", `[{"Node": 5}]`, 200)
	l.failsOnce("cannot read the answer")
	a.set("10", oneInstance, 307)
	l.failsOnce("status 307")
	a.set("11", `[
		{"Service": {"Address": "10.0.0.1", "Port": 80, "Weights": {"Passing": 0, "Warning": 7}}, "Checks": [{"Status": "passing"}]},
		{"Service": {"Address": "10.0.0.2", "Port": 80, "Weights": {"Passing": 5, "Warning": 0}},
		 "Checks": [{"Status": "passing"}, {"Status": "warning"}]},
		{"Service": {"Address": "10.0.0.3", "Port": 80, "Weights": {"Passing": 5, "Warning": 0}},
		 "Checks": [{"Status": "critical"}, {"Status": "warning"}]},
		{"Service": {"Address": "10.0.0.4", "Port": 80, "Weights": {}}},
		{"Service": {"Address": "10.0.0.5", "Port": 80, "Weights": null}}]`, 200)
	l.wants("10.0.0.1:80*0 10.0.0.2:80*0 10.0.0.3:80*5 10.0.0.4:80 10.0.0.5:80")
}

// TestConsulIndex: an index that goes back is not waited on, and a wait that ends with nothing new tells nothing.
func TestConsulIndex(t *testing.T) {
	a := newAgent(t)
	a.set("50", oneInstance, 200)
	l := listen(t, sourceOf(t, `{ consul = { address = %q, service = "u", passing_only = false, wait = "1s" } }`, a.Listener.Addr()))
	l.wants("10.0.0.1:80/z")
	until(t, "a wait that ends", func() bool { return len(a.queries()) == 3 })
	a.set("3", strings.Replace(oneInstance, "0.1", "0.2", 1), 200)
	l.wants("10.0.0.2:80/z")
	until(t, "further queries", func() bool {
		q := a.queries()
		return q[len(q)-1].Get("index") == "3"
	})
	var indices []string
	for _, q := range a.queries() {
		if index := q.Get("index"); len(indices) == 0 || indices[len(indices)-1] != index {
			indices = append(indices, index)
		}
		if q.Has("passing") {
			t.Error("asked for those that pass")
		}
	}
	if got := fmt.Sprint(indices); got != "[ 50  3]" {
		t.Error(got)
	}
}

// TestGone: nobody listens, and then somebody does; a peer that says nothing does not hold up the end.
func TestGone(t *testing.T) {
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := nl.Addr().String()
	nl.Close()
	l := listen(t, sourceOf(t, `{ consul = { address = %q, service = "u" } }`, address))
	l.fails("connection refused")
	if nl, err = net.Listen("tcp", address); err != nil {
		t.Skip("the port is taken: ", err)
	}
	defer nl.Close()
	nc, err := nl.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	l.end()
}

func FuzzConsul(f *testing.F) {
	f.Add([]byte(oneInstance))
	f.Fuzz(func(t *testing.T, body []byte) {
		var entries []consulEntry
		if json.Unmarshal(body, &entries) == nil {
			checkSet(t, targetsOf(entries))
		}
	})
}
