// Package storm pours requests on a gateway at a constant rate, whatever becomes of them, and serves as an
// origin that misbehaves on command. The black-box tests use it, and the runs that the documentation shows.
package storm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Behaviour is what an origin does with requests; PUT /behave sets it.
type Behaviour struct {
	DelayMS   int64 // before each answer
	SlowMS    int64 // before some answers
	SlowPart  float64
	FailPart  float64 // of the answers, 500
	FailWith  int     // in place of 500
	Workers   int     // requests served at once; others wait; 0: all
	HealthBad bool
}

// Tally is what an origin has seen; GET /tally returns it.
type Tally struct {
	Requests, Posts int64
	Bodies          map[string]int // POSTs by body
}

// origin is a server that behaves as it is told.
type origin struct {
	name string
	now  atomic.Pointer[manner]

	mu   sync.Mutex // guards seen
	seen Tally
}

// manner is a behaviour with its places for requests; nil: there is room for all.
type manner struct {
	Behaviour
	places chan struct{}
}

// Serve answers at addr, which is what the bodies of answers say, until the process ends; it returns only
// what went wrong.
func Serve(addr string) error {
	o := &origin{name: addr, seen: Tally{Bodies: map[string]int{}}}
	o.now.Store(&manner{})
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /behave", o.behave)
	mux.HandleFunc("GET /tally", o.tally)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if o.now.Load().HealthBad {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/", o.answer)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return http.Serve(l, mux)
}

func (o *origin) behave(w http.ResponseWriter, r *http.Request) {
	m := &manner{}
	if err := json.NewDecoder(r.Body).Decode(&m.Behaviour); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if m.Workers > 0 {
		m.places = make(chan struct{}, m.Workers)
	}
	o.now.Store(m)
}

func (o *origin) tally(w http.ResponseWriter, _ *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = json.NewEncoder(w).Encode(&o.seen) // whoever asks finds half an answer
}

func (o *origin) answer(w http.ResponseWriter, r *http.Request) {
	m := o.now.Load()
	o.count(r)
	if m.places != nil {
		select {
		case m.places <- struct{}{}:
			defer func() { <-m.places }()
		case <-r.Context().Done():
			return
		}
	}
	wait := m.DelayMS
	if m.SlowPart > 0 && rand.Float64() < m.SlowPart {
		wait = m.SlowMS
	}
	if wait > 0 {
		select {
		case <-time.After(time.Duration(wait) * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
	if m.FailPart > 0 && rand.Float64() < m.FailPart {
		w.WriteHeader(max(m.FailWith, http.StatusInternalServerError))
	}
	_, _ = io.WriteString(w, o.name) // the client may have left
}

func (o *origin) count(r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a cut body is not counted by its text
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen.Requests++
	if r.Method == http.MethodPost {
		o.seen.Posts++
		o.seen.Bodies[string(body)]++
	}
}

// Behave sets how the origin at addr behaves from now on.
func Behave(addr string, b Behaviour) error {
	body, err := json.Marshal(&b)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPut, "http://"+addr+"/behave", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("PUT /behave: %s", resp.Status)
	}
	return nil
}
