package discovery

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// etcd starts a real one, and returns its URL.
func etcd(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("etcd")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("there is no etcd here: the package etcd-server has it")
	}
	if err != nil {
		t.Fatal(err)
	}
	for range 5 { // a port may be taken by somebody else before etcd has it
		if url, ok := startEtcd(t, path); ok {
			return url
		}
	}
	t.Fatal("etcd does not start")
	return ""
}

func startEtcd(t testing.TB, path string) (url string, ok bool) {
	urls := make([]string, 2)
	for i := range urls {
		nl, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		urls[i] = "http://" + nl.Addr().String()
		nl.Close()
	}
	cmd := exec.Command(path, "--data-dir", t.TempDir(), "--name", "n", "--listen-client-urls", urls[0],
		"--advertise-client-urls", urls[0], "--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1],
		"--initial-cluster", "n="+urls[1], "--unsafe-no-fsync")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-over
		if t.Failed() {
			t.Log(output.String()[max(0, output.Len()-3000):])
		}
	})
	until(t, "etcd", func() bool {
		select {
		case <-over:
			return true
		default:
		}
		resp, err := client.Get(urls[0] + "/health")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		ok = strings.Contains(string(body), "true")
		return ok
	})
	return urls[0], ok
}

// client keeps no connection, which would outlive its test.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// post calls the gateway and returns the revision. Strings of body in the form b:TEXT are sent as base64.
func post(t testing.TB, url, body string) string {
	t.Helper()
	for {
		before, rest, found := strings.Cut(body, `"b:`)
		if !found {
			break
		}
		text, after, _ := strings.Cut(rest, `"`)
		body = before + `"` + base64.StdEncoding.EncodeToString([]byte(text)) + `"` + after
	}
	resp, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Header etcdHeader }
	content, _ := io.ReadAll(resp.Body)
	if err := json.Unmarshal(content, &answer); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s %s: %s %s", url, body, resp.Status, content)
	}
	return fmt.Sprint(answer.Header.Revision)
}

func TestEtcd(t *testing.T) {
	url := etcd(t)
	put := func(key, value string) {
		t.Helper()
		post(t, url+"/v3/kv/put", `{"key":"b:`+key+`","value":"b:`+value+`"}`)
	}
	put("/users/1", "10.0.0.1:80")
	put("/userz", "10.9.9.9:80")
	put("/users", "10.9.9.9:80")
	s := sourceOf(t, `{ etcd = { endpoints = [%q], prefix = "/users/" } }`, url)
	l := listen(t, s)
	l.wants("10.0.0.1:80")
	put("/users/2", `nonsense`)
	put("/users/3", "[fd00::1]:80")
	l.wants("10.0.0.1:80 [fd00::1]:80")
	if s.(Dropper).Dropped() == 0 {
		t.Error("nothing dropped")
	}
	put("/users/1", "10.0.0.2:80")
	l.wants("10.0.0.2:80 [fd00::1]:80")
	post(t, url+"/v3/kv/deleterange", `{"key":"b:/users/3"}`)
	l.wants("10.0.0.2:80")
	post(t, url+"/v3/kv/deleterange", `{"key":"b:/users/","range_end":"b:/users0"}`)
	l.fails("empty")
	put("/users/1", "10.0.0.1:80")
	l.wants("10.0.0.1:80")
}

// TestEtcdPages: more keys than one answer gives.
func TestEtcdPages(t *testing.T) {
	url := etcd(t)
	const n = 2*keysPerPage + 1
	for i := 0; i < n; i += 100 {
		var puts []string
		for j := i; j < min(i+100, n); j++ {
			puts = append(puts, fmt.Sprintf(`{"request_put":{"key":"b:/u/%d","value":"b:10.0.0.1:%d"}}`, j, j+1))
		}
		post(t, url+"/v3/kv/txn", `{"success":[`+strings.Join(puts, ",")+`]}`)
	}
	l := listen(t, sourceOf(t, `{ etcd = { endpoints = ["http://127.0.0.1:1", %q], prefix = "/u/" } }`, url))
	l.fails("http://127.0.0.1:1") // and then the other one is asked
	if x := l.next(); len(x.set) != n {
		t.Errorf("%d, %v", len(x.set), x.err)
	}
}

func TestEtcdUser(t *testing.T) {
	url := etcd(t)
	post(t, url+"/v3/kv/put", `{"key":"b:/u/1","value":"b:10.0.0.1:80"}`)
	post(t, url+"/v3/auth/user/add", `{"name":"root","password":"hush"}`)
	post(t, url+"/v3/auth/user/add", `{"name":"reader","password":"hush"}`)
	post(t, url+"/v3/auth/role/add", `{"name":"root"}`)
	post(t, url+"/v3/auth/role/add", `{"name":"reader"}`)
	post(t, url+"/v3/auth/role/grant", `{"name":"reader","perm":{"permType":0,"key":"b:/u/","range_end":"b:/u0"}}`)
	post(t, url+"/v3/auth/user/grant", `{"user":"root","role":"root"}`)
	post(t, url+"/v3/auth/user/grant", `{"user":"reader","role":"reader"}`)
	post(t, url+"/v3/auth/enable", `{}`)
	const format = `{ etcd = { endpoints = [%q], prefix = %q, username = "reader", password = %q } }`
	listen(t, sourceOf(t, format, url, "/u/", "hush")).wants("10.0.0.1:80")
	listen(t, sourceOf(t, format, url, "/u/", "wrong")).fails("cannot ask etcd at " + url + `: as user "reader": status 400`)
	listen(t, sourceOf(t, format, url, "/v/", "hush")).fails("permission denied")
	listen(t, sourceOf(t, `{ etcd = { endpoints = [%q], prefix = "/u/" } }`, url)).fails("user name is empty")
}

// etcdFake gives the answers that a real one gives only after a long time: each request takes the next of its
// path. That of a watch is sent, and the connection held if it ends in a *.
type etcdFake struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string][]string
	bodies  []string
}

func newEtcdFake(t testing.TB, ranges, watches []string) *etcdFake {
	f := &etcdFake{answers: map[string][]string{"/v3/kv/range": ranges, "/v3/watch": watches}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *etcdFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.bodies = append(f.bodies, string(body))
	list := f.answers[r.URL.Path]
	if len(list) == 0 {
		f.mu.Unlock()
		http.Error(w, "nothing more", http.StatusServiceUnavailable)
		return
	}
	f.answers[r.URL.Path] = list[1:]
	f.mu.Unlock()
	text, hold := strings.CutSuffix(list[0], "*")
	fmt.Fprint(w, text)
	w.(http.Flusher).Flush()
	if hold {
		<-r.Context().Done()
	}
}

// starts returns the revisions from which was watched.
func (f *etcdFake) starts() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var starts []string
	for _, body := range f.bodies {
		if _, after, found := strings.Cut(body, `"start_revision":"`); found {
			start, _, _ := strings.Cut(after, `"`)
			starts = append(starts, start)
		}
	}
	return strings.Join(starts, " ")
}

func rangeAt(revision int, values ...string) string {
	var keys []string
	for i, v := range values {
		keys = append(keys, kv(fmt.Sprint(i), v, revision))
	}
	return fmt.Sprintf(`{"header":{"cluster_id":"9","revision":"%d"},"kvs":[%s],"count":"%d"}`,
		revision, strings.Join(keys, ","), len(values))
}

func kv(key, value string, revision int) string {
	return fmt.Sprintf(`{"key":%q,"value":%q,"mod_revision":"%d"}`, base64.StdEncoding.EncodeToString([]byte(key)),
		base64.StdEncoding.EncodeToString([]byte(value)), revision)
}

func created(revision int) string {
	return fmt.Sprintf(`{"result":{"header":{"cluster_id":"9","revision":"%d"},"created":true}}`+"\n", revision)
}

func events(revision int, list ...string) string {
	return fmt.Sprintf(`{"result":{"header":{"cluster_id":"9","revision":"%d"},"events":[%s]}}`+"\n",
		revision, strings.Join(list, ","))
}

// TestEtcdResume: a watch goes on where the last one was cut off, or begins anew where it cannot.
func TestEtcdResume(t *testing.T) {
	const compacted = `{"result":{"header":{"cluster_id":"9","revision":"90"},"canceled":true,"compact_revision":"50"}}`
	f := newEtcdFake(t,
		[]string{rangeAt(10, "10.0.0.1:1"), rangeAt(60, "10.0.0.2:1"), rangeAt(5, "10.0.0.3:1"), rangeAt(70, "10.0.0.4:1")},
		[]string{
			created(11) + events(12, `{"kv":`+kv("7", "10.0.0.7:1", 12)+`}`),
			created(12) + events(20), // of progress
			created(20) + compacted,
			created(3), // an old copy
			created(5) + `{"result":{"header":{"cluster_id":"9","revision":"5"},"canceled":true,"cancel_reason":"no"}}`,
			created(70) + `{"result":{"events":[{"kv":{"mod_revision":"x"}}]}}`,
			created(70) + "*",
		})
	l := listen(t, sourceOf(t, `{ etcd = { endpoints = [%q], prefix = "p" } }`, f.URL))
	for _, want := range []string{"10.0.0.1:1", "10.0.0.1:1 10.0.0.7:1", "10.0.0.2:1", "10.0.0.3:1"} {
		if x := l.next(); text(x.set) != want {
			t.Fatalf("%v, want %s", x, want)
		}
	}
	l.fails("the watch was refused: no")
	l.wants("10.0.0.4:1")
	l.fails("cannot read a message")
	l.failsOnce("status 503")
	if got := f.starts(); got != "11 13 21 61 6 71" {
		t.Error(got)
	}
}

func TestReadValue(t *testing.T) {
	f := func(value, want string) {
		t.Helper()
		e, err := readValue([]byte(value))
		got := text([]Endpoint{e})
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s\n got %s\nwant %s", value, got, want)
		}
	}
	f(" 10.0.0.1:80\n", "10.0.0.1:80")
	f(`{"address":"10.0.0.1:80","weight":3,"zone":"z","backup":true,"more":[]}`, "10.0.0.1:80*3/z!")
	f(`{"Op":0,"Addr":"10.0.0.1:80","Metadata":null}`, "10.0.0.1:80")
	f(`{"addr":"10.0.0.1:80"}`, "10.0.0.1:80")
	f(`{}`, "")
	f(`{"address":"10.0.0.1:80","weight":0}`, "10.0.0.1:80*0")
	f(`{"address":"10.0.0.1:80","drain":true}`, "10.0.0.1:80-")
	f("", "its value is empty")
	f(`{"address":5}`, "its value cannot be read")
	f(`{"address":"a:1","weight":99999999999}`, "its value cannot be read")
	f(`{"address"`, "its value cannot be read")
	f(strings.Repeat("a", 1<<16)+"aa", "its value has more than")
}

func TestBehind(t *testing.T) {
	f := func(prefix, want string) {
		t.Helper()
		if got := string(behind(prefix)); got != want {
			t.Errorf("%q: %q, want %q", prefix, got, want)
		}
	}
	f("/users/", "/users0")
	f("a\xff", "b")
	f("\xff\xff", "\x00")
}

func FuzzEtcd(f *testing.F) {
	f.Add([]byte(created(1) + events(2, `{"kv":`+kv("7", "10.0.0.7:1", 2)+`}`, `{"type":"DELETE","kv":`+kv("7", "", 2)+`}`)))
	f.Add([]byte(`{"error":{"message":"no"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		w := &etcdWatch{etcdSource: &etcdSource{}, caller: &caller{}, values: map[string][]byte{}, revision: 1, cluster: "9"}
		messages := newStream(bytes.NewReader(body))
		for {
			var m etcdMessage
			if messages.next(&m) != nil {
				return
			}
			before := w.revision
			if w.apply(&m) != nil || w.revision == 0 {
				return
			}
			if w.revision < before {
				t.Fatal("the revision went back")
			}
			checkSet(t, targetsOfKeys(w.values))
		}
	})
}

func FuzzReadValue(f *testing.F) {
	f.Add([]byte(`{"address":"10.0.0.1:80","weight":3,"zone":"z","backup":true}`))
	f.Add([]byte(`10.0.0.1:80`))
	f.Fuzz(func(t *testing.T, value []byte) {
		checkSet(t, targetsOfKeys(map[string][]byte{"k": value}))
	})
}
