package discovery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

const keysPerPage = 1000

// etcdSource reads the keys under a prefix and watches them, by the JSON gateway that every etcd has from
// 3.4 on.
type etcdSource struct {
	origin
	Etcd
}

func (s *etcdSource) String() string {
	return "etcd " + s.Prefix + " at " + strings.Join(s.Endpoints, ", ")
}

func (s *etcdSource) Run(ctx context.Context, tell func([]Endpoint, error)) {
	w := &etcdWatch{etcdSource: s, caller: &caller{tlsFiles: tlsFiles{s.CA, s.Cert, s.Key}}}
	defer w.caller.close()
	run(ctx, &teller{tell: tell, origin: &s.origin}, w.session)
}

// etcdWatch is the state of one Run.
type etcdWatch struct {
	*etcdSource
	caller *caller
	turn   int    // of Endpoints: the one that is asked
	token  string // "": not authenticated

	values   map[string][]byte // by key
	revision int64             // up to which values holds; 0: read all before watching
	cluster  string            // where revision counts
}

// session reads all keys if need be, and holds one watch. After a failure the next endpoint is asked, with
// a new token.
func (w *etcdWatch) session(ctx context.Context, t *teller) error {
	err := w.follow(ctx, t)
	w.token = ""
	if err != nil {
		err = fmt.Errorf("cannot ask etcd at %s: %w", w.Endpoints[w.turn], err)
	}
	w.turn = (w.turn + 1) % len(w.Endpoints)
	return err
}

func (w *etcdWatch) follow(ctx context.Context, t *teller) error {
	if w.Username != "" {
		if err := w.authenticate(ctx); err != nil {
			return err
		}
	}
	if w.revision == 0 {
		if err := w.readAll(ctx); err != nil {
			return err
		}
		t.watched(ctx, targetsOfKeys(w.values))
	}
	return w.watch(ctx, t)
}

// request returns one for a path of the gateway.
func (w *etcdWatch) request(path string, body any) (*http.Request, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, w.Endpoints[w.turn]+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if w.token != "" {
		req.Header.Set("Authorization", w.token)
	}
	return req, nil
}

func (w *etcdWatch) authenticate(ctx context.Context) error {
	w.caller.secrets = []string{w.Password.Reveal()}
	req, err := w.request("/v3/auth/authenticate", map[string]string{
		"name": w.Username, "password": w.Password.Reveal()})
	if err != nil {
		return err
	}
	var answer struct {
		Token string `json:"token"`
	}
	if _, err := w.caller.call(ctx, callTimeout, req, &answer); err != nil {
		return fmt.Errorf("as user %s: %w", quote(w.Username), err)
	}
	w.token = answer.Token
	w.caller.secrets = append(w.caller.secrets, answer.Token)
	return nil
}

type etcdHeader struct {
	Cluster  string `json:"cluster_id"`
	Revision int64  `json:"revision,string"`
}

type etcdKey struct {
	Key      []byte `json:"key"`
	Value    []byte `json:"value"`
	Modified int64  `json:"mod_revision,string"`
}

// readAll replaces all that is known by the keys of one revision, page by page.
func (w *etcdWatch) readAll(ctx context.Context) error {
	values := map[string][]byte{}
	key, end := []byte(w.Prefix), behind(w.Prefix)
	var first etcdHeader
	for {
		req, err := w.request("/v3/kv/range", map[string]any{
			"key": key, "range_end": end, "limit": keysPerPage, "revision": strconv.FormatInt(first.Revision, 10)})
		if err != nil {
			return err
		}
		var page struct {
			Header etcdHeader `json:"header"`
			Keys   []etcdKey  `json:"kvs"`
			More   bool       `json:"more"`
		}
		if _, err := w.caller.call(ctx, callTimeout, req, &page); err != nil {
			return err
		}
		if first.Revision == 0 {
			first = page.Header
		}
		for _, k := range page.Keys {
			values[string(k.Key)] = k.Value
		}
		switch {
		case first.Revision <= 0:
			return errors.New("its answer has no revision")
		case len(values) > MaxEndpoints:
			return errTooManyKeys
		case page.More && len(page.Keys) > 0:
			key = append(page.Keys[len(page.Keys)-1].Key, 0)
			continue
		}
		w.values, w.revision, w.cluster = values, first.Revision, first.Cluster
		return nil
	}
}

var errTooManyKeys = fmt.Errorf("there are more than %d keys", MaxEndpoints)

// behind returns the first key after all those that begin with prefix.
func behind(prefix string) []byte {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return []byte{0} // to the end of all keys
}

func targetsOfKeys(values map[string][]byte) *answer {
	a := &answer{}
	for key, value := range values {
		e, err := readValue(value)
		if err != nil {
			a.drop(fmt.Errorf("key %s: %w", quote(key), err))
			continue
		}
		a.add(e)
	}
	return a
}

// readValue reads the value of a key: host:port, or an object of JSON. The names of its members are read in
// any case, and Addr is address as well: so writes the package naming of etcd's own client.
func readValue(value []byte) (Endpoint, error) {
	const most = 64 << 10
	value = bytes.TrimSpace(value)
	switch {
	case len(value) > most:
		return Endpoint{}, fmt.Errorf("its value has more than %d bytes", most)
	case len(value) == 0:
		return Endpoint{}, errors.New("its value is empty")
	case value[0] != '{':
		return Endpoint{Address: string(value), Weight: 1}, nil
	}
	var v struct {
		Address string `json:"address"`
		Addr    string `json:"addr"`
		Weight  *int32 `json:"weight"`
		Zone    string `json:"zone"`
		Backup  bool   `json:"backup"`
		Drain   bool   `json:"drain"`
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return Endpoint{}, fmt.Errorf("its value cannot be read: %w", err)
	}
	e := Endpoint{Address: v.Address, Weight: 1, Zone: v.Zone, Backup: v.Backup, Drain: v.Drain}
	if e.Address == "" {
		e.Address = v.Addr
	}
	if v.Weight != nil {
		e.Weight = *v.Weight
	}
	return e, nil
}
