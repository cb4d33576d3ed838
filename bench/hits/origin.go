package hits

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// origin answers /o/OBJECT/SIZE with SIZE bytes that may be cached for an hour, and counts the requests.
type origin struct {
	addr    string
	asked   atomic.Int64
	bodies  []byte
	server  http.Server
	stopped chan struct{}
}

func startOrigin() (*origin, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &origin{addr: l.Addr().String(), bodies: bytes.Repeat([]byte("0123456789abcde\n"), MaxBody/16+1),
		stopped: make(chan struct{})}
	o.server.Handler = o
	go func() {
		defer close(o.stopped)
		if err := o.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			panic("BUG: the origin ended by itself: " + err.Error())
		}
	}()
	return o, nil
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.asked.Add(1)
	n, err := strconv.Atoi(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
	if err != nil || n < 0 || n > len(o.bodies) {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Cache-Control", "max-age=3600")
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(n))
	_, _ = w.Write(o.bodies[:n]) // the client counts what is short
}

func (o *origin) stop() {
	_ = o.server.Close() // nothing is asked any more
	<-o.stopped
}
