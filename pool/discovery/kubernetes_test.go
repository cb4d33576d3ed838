package discovery

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// apiServer is what a test sees of Kubernetes: TLS with an authority of its own, a token, lists in pages, and
// watches that the test writes to by hand.
type apiServer struct {
	*httptest.Server
	ca, token string // paths

	mu      sync.Mutex
	bearer  string
	pages   []string // bodies of lists, one after the other
	status  int      // of the next watch
	lists   []url.Values
	watches chan *apiWatch
}

type apiWatch struct {
	url.Values
	text  chan string // what is to be sent
	done  chan bool   // true: the connection is cut
	ended chan struct{}
}

func newAPI(t testing.TB) *apiServer {
	s := &apiServer{bearer: "one", status: 200, watches: make(chan *apiWatch, 100)}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that are to fail
	s.StartTLS()
	t.Cleanup(s.Close)
	dir := t.TempDir()
	s.ca = write(t, dir, "ca.crt", string(pem.EncodeToMemory(
		&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	s.token = write(t, dir, "token", "one\n")
	return s
}

func (s *apiServer) source(t testing.TB, more string) Source {
	t.Helper()
	return sourceOf(t, `{ kubernetes = { service = "users", namespace = "prod", api = %q, ca_file = %q, token_file = %q%s } }`,
		s.URL, s.ca, s.token, more)
}

func (s *apiServer) set(status int, bearer string, pages ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.bearer, s.pages = status, bearer, pages
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mu.Lock()
	status, bearer := s.status, s.bearer
	if q.Get("watch") != "" {
		s.status = 200
	}
	s.mu.Unlock()
	switch {
	case r.Header.Get("Authorization") != "Bearer "+bearer:
		http.Error(w, `{"kind":"Status","code":401,"message":"Unauthorized"}`, http.StatusUnauthorized)
	case r.URL.Path != "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices",
		q.Get("labelSelector") != "kubernetes.io/service-name=users":
		http.NotFound(w, r)
	case q.Get("watch") == "":
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lists = append(s.lists, q)
		body := `{"metadata":{"resourceVersion":"1"},"items":[]}`
		if len(s.pages) > 0 {
			body, s.pages = s.pages[0], s.pages[1:]
		}
		if code, found := strings.CutPrefix(body, "status "); found {
			http.Error(w, "no", map[string]int{"410": 410, "500": 500}[code])
			return
		}
		fmt.Fprint(w, body)
	case status != 200:
		http.Error(w, `{"kind":"Status","code":410,"reason":"Expired"}`, status)
	default:
		s.hold(w, r, q)
	}
}

func (s *apiServer) hold(w http.ResponseWriter, r *http.Request, q url.Values) {
	w.WriteHeader(200)
	w.(http.Flusher).Flush()
	watch := &apiWatch{q, make(chan string), make(chan bool), make(chan struct{})}
	defer close(watch.ended)
	s.watches <- watch
	for {
		select {
		case text := <-watch.text:
			for _, part := range []string{text[:len(text)/2], text[len(text)/2:]} { // in two chunks
				fmt.Fprint(w, part)
				w.(http.Flusher).Flush()
			}
		case cut := <-watch.done:
			if cut {
				panic(http.ErrAbortHandler)
			}
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (s *apiServer) watch(t testing.TB, version string) *apiWatch {
	t.Helper()
	w := <-s.watches
	if got := w.Get("resourceVersion"); got != version || w.Get("allowWatchBookmarks") != "true" || w.Get("timeoutSeconds") == "" {
		t.Fatalf("watched with %v, want version %s", w.Values, version)
	}
	return w
}

func (w *apiWatch) send(text string) {
	select {
	case w.text <- text:
	case <-w.ended:
	}
}

// end ends the watch, if it has not ended yet, properly or in the middle.
func (w *apiWatch) end(cut bool) {
	select {
	case w.done <- cut:
	case <-w.ended:
	}
}

func event(kind, object string) string {
	return fmt.Sprintf(`{"type":%q,"object":%s}`+"\n", kind, object)
}

// slice returns a slice whose port http is 8080.
func slice(name, version string, endpoints ...string) string {
	return fmt.Sprintf(`{"kind":"EndpointSlice","metadata":{"name":%q,"resourceVersion":%q},"addressType":"IPv4",
		"ports":[{"name":"http","port":8080,"protocol":"TCP"}],"endpoints":[%s]}`, name, version, strings.Join(endpoints, ","))
}

func page(version, next string, slices ...string) string {
	return fmt.Sprintf(`{"kind":"EndpointSliceList","metadata":{"resourceVersion":%q,"continue":%q},"items":[%s]}`,
		version, next, strings.Join(slices, ","))
}

func ready(address string) string {
	return fmt.Sprintf(`{"addresses":[%q],"conditions":{"ready":true},"zone":"z1"}`, address)
}

func TestKubernetes(t *testing.T) {
	s := newAPI(t)
	s.set(200, "one", page("7", "more", slice("a", "3", ready("10.0.0.1"))), page("7", "", slice("b", "4", ready("10.0.0.2"))))
	l := listen(t, s.source(t, `, port = "http"`))
	l.wants("10.0.0.1:8080/z1 10.0.0.2:8080/z1")
	if s.lists[0].Get("limit") == "" || s.lists[0].Has("continue") || s.lists[1].Get("continue") != "more" {
		t.Error(s.lists)
	}

	w := s.watch(t, "7")
	w.send(event("ADDED", slice("c", "8", ready("fd00::1"))))
	l.wants("10.0.0.1:8080/z1 10.0.0.2:8080/z1 [fd00::1]:8080/z1")
	w.send(event("MODIFIED", slice("a", "9", ready("10.0.0.9"))) + event("DELETED", slice("b", "10")))
	l.wants("10.0.0.2:8080/z1 10.0.0.9:8080/z1 [fd00::1]:8080/z1")
	l.wants("10.0.0.9:8080/z1 [fd00::1]:8080/z1")
	w.send(event("BOOKMARK", `{"kind":"EndpointSlice","metadata":{"resourceVersion":"12"}}`))
	w.end(false)
	w = s.watch(t, "12") // and nothing was listed
	w.send(event("MODIFIED", slice("a", "13", ready("10.0.0.9"))))
	w.end(true)
	w = s.watch(t, "13")
	w.send(event("DELETED", slice("a", "14")) + event("DELETED", slice("c", "15")))
	l.wants("[fd00::1]:8080/z1")
	l.fails("empty")
	w.send(event("ADDED", slice("a", "16", ready("10.0.0.9"))))
	l.wants("10.0.0.9:8080/z1")
	if len(s.lists) != 2 {
		t.Errorf("listed %d times", len(s.lists))
	}
	w.send(`{"type": 5}`)
	w.end(true)
	l.fails("cannot watch")
}

// TestKubernetesGone: what is too old is listed again, and that is no failure.
func TestKubernetesGone(t *testing.T) {
	s := newAPI(t)
	s.set(200, "one", page("7", "", slice("a", "3", ready("10.0.0.1"))))
	l := listen(t, s.source(t, ""))
	l.wants("10.0.0.1:8080/z1")
	w := s.watch(t, "7")
	s.set(200, "one", page("20", "", slice("b", "19", ready("10.0.0.2"))))
	w.send(event("ERROR", `{"kind":"Status","status":"Failure","reason":"Gone","code":410}`))
	if x := l.next(); text(x.set) != "10.0.0.2:8080/z1" {
		t.Fatal(x)
	}
	w = s.watch(t, "20")

	s.set(410, "one", page("30", "", slice("b", "29", ready("10.0.0.3"))))
	w.end(false)
	if x := l.next(); text(x.set) != "10.0.0.3:8080/z1" {
		t.Fatal(x)
	}
	w = s.watch(t, "30")
	s.set(410, "one", page("40", "x", slice("b", "39", ready("10.0.0.4"))), "status 410",
		page("41", "", slice("b", "39", ready("10.0.0.5"))))
	w.end(true)
	l.fails("cannot list the endpoint slices: status 410")
	l.wants("10.0.0.5:8080/z1")

	w = s.watch(t, "41")
	s.set(200, "one", "status 500", page("50", "", slice("b", "49", ready("10.0.0.6"))))
	w.send(event("ERROR", `{"kind":"Status","message":"no\nway","code":500}`))
	l.fails("cannot watch the endpoint slices: status 500: no way")
	l.fails("cannot list the endpoint slices: status 500")
	l.wants("10.0.0.6:8080/z1")
}

// TestKubernetesToken: token and authority are those that the files hold now.
func TestKubernetesToken(t *testing.T) {
	s := newAPI(t)
	s.set(200, "two", page("7", "", slice("a", "3", ready("10.0.0.1"))))
	l := listen(t, s.source(t, ""))
	l.fails("status 401")
	write(t, "", s.token, "two")
	l.wants("10.0.0.1:8080/z1")
	w := s.watch(t, "7")
	s.set(200, "three")
	w.end(false)
	l.fails("status 401")
	write(t, "", s.token, "three")
	w = s.watch(t, "7") // resumed: nothing was forgotten
	good := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	write(t, "", s.ca, otherCA(t))
	w.end(false)
	l.failsOnce("certificate")
	write(t, "", s.ca, good)
	w = s.watch(t, "7")
	w.send(event("ADDED", slice("b", "8", ready("10.0.0.2"))))
	l.wants("10.0.0.1:8080/z1 10.0.0.2:8080/z1")
}

// otherCA returns the certificate of an authority that has signed nothing.
func otherCA(t testing.TB) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestKubernetesNoFiles(t *testing.T) {
	s := newAPI(t)
	listen(t, sourceOf(t, `{ kubernetes = { service = "u", api = %q, ca_file = %q, token_file = "/not/there" } }`, s.URL, s.ca)).
		fails("cannot read the token")
	listen(t, sourceOf(t, `{ kubernetes = { service = "u", api = %q, ca_file = "/not/there", token_file = %q } }`, s.URL, s.token)).
		fails("/not/there")
	// By plain HTTP, as of kubectl proxy, no token is sent: it could be read on the way.
	got := make(chan string, 1)
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case got <- r.Header.Get("Authorization"):
		default:
		}
	}))
	defer plain.Close()
	l := listen(t, sourceOf(t, `{ kubernetes = { service = "u", api = %q, token_file = %q } }`, plain.URL, s.token))
	defer l.end()
	if token := <-got; token != "" {
		t.Error(token)
	}
}

func TestSlices(t *testing.T) {
	f := func(port, endpoints, ports, want string) {
		t.Helper()
		var s kubeSlice
		if err := json.Unmarshal([]byte(`{"endpoints":[`+endpoints+`],"ports":[`+ports+`]}`), &s); err != nil {
			t.Fatal(err)
		}
		set, err := targetsOfSlices([]kubeSlice{s}, port, "dflt").set()
		got := text(set)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s %s %s\n got %s\nwant %s", port, endpoints, ports, got, want)
		}
	}
	const one, http, both = `{"addresses":["10.0.0.1"]}`, `{"name":"http","port":80}`,
		`{"name":"http","port":80},{"name":"admin","port":81,"protocol":"TCP"},{"name":"http","port":82,"protocol":"UDP"}`
	f("", one, http, "10.0.0.1:80/dflt")
	f("http", one, both, "10.0.0.1:80/dflt")
	f("81", one, both, "10.0.0.1:81/dflt")
	f("", one, both, `several ports, of which one must be named: "admin=81, http=80"`)
	f("8080", one, http, `no TCP port "8080", but "http=80"`)
	f("82", one, both, "no TCP port")
	f("grpc", one, http, "no TCP port")
	f("8080", one, "", "10.0.0.1:8080/dflt")
	f("8080", one, `{"name":"","protocol":"TCP"}`, "10.0.0.1:8080/dflt")
	f("http", one, "", "no TCP port")
	f("", one, `{"port":70000}`, "no port from 1 to 65535")
	f("", `{"addresses":["10.0.0.1","10.0.0.2"],"zone":"z"},{"addresses":[]},{"addresses":["a.b"]}`, http,
		"10.0.0.1:80/z a.b:80/dflt")

	const leaving = `{"addresses":["10.0.0.2"],"conditions":{"ready":false,"serving":true,"terminating":true}}`
	f("", one+","+leaving, http, "10.0.0.1:80/dflt")
	f("", leaving, http, "10.0.0.2:80/dflt")
	f("", `{"addresses":["10.0.0.2"],"conditions":{"ready":false}}`, http, "empty")
	f("", `{"addresses":["10.0.0.2"],"conditions":{"ready":false,"terminating":true}}`, http, "empty")
	f("", `{"addresses":["10.0.0.2"],"conditions":{"ready":false,"serving":true}}`, http, "empty")
	f("", `{"addresses":["10.0.0.2"],"conditions":{"ready":null,"serving":false}}`, http, "10.0.0.2:80/dflt")
}

func FuzzKubernetes(f *testing.F) {
	f.Add([]byte(event("ADDED", slice("a", "1", ready("10.0.0.1")))), "http")
	f.Add([]byte(event("ERROR", `{"kind":"Status","reason":"Expired","code":410}`)), "80")
	f.Add([]byte(event("DELETED", `{"metadata":{"name":"x"}}`)+event("BOOKMARK", `{}`)), "")
	f.Fuzz(func(t *testing.T, body []byte, port string) {
		w := &kubeWatch{kubeSource: &kubeSource{}, caller: &caller{}, slices: map[string]kubeSlice{}, version: "1"}
		w.Port = port
		events := newStream(strings.NewReader(string(body)))
		for {
			var e kubeEvent
			if events.next(&e) != nil {
				return
			}
			if _, err := w.apply(&e); err != nil || w.version == "" {
				return
			}
			checkSet(t, w.targets())
		}
	})
}
