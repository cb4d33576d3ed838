package pool

import (
	"log/slog"
	"time"

	"github.com/penstock-edge/penstock/pool/kept"
)

// keepEvery is how often the file is renewed while the source is well, so that its age says how long it has
// not been.
const keepEvery = time.Minute

// recall makes the targets that were kept before the start those of the pool, when its source has told none.
func (p *Pool) recall() {
	source := p.conf.Source.String()
	if p.store.Dir == "" {
		return
	}
	p.store.Sweep()
	if p.known() != nil {
		return
	}
	k, err := p.store.Read(source)
	if err != nil {
		p.store.Errors.Inc(0)
		slog.Warn("kept targets cannot be read", "pool", p.Name, "error", err)
	}
	if k == nil {
		return
	}
	s := p.shared
	s.mu.Lock()
	s.found[source], s.keptAt[source] = k.Found, k.At
	s.mu.Unlock()
	slog.Warn("targets kept from before the start are used until their source answers", "pool", p.Name,
		"source", source, "targets", len(k.Found), "age", time.Since(k.At).Round(time.Second).String())
	p.apply(k.Found)
}

// keep has the last good targets written to the file, if there is to be one.
func (p *Pool) keep() {
	if p.store.Dir == "" {
		return
	}
	s, source := p.shared, p.conf.Source.String()
	s.mu.Lock()
	k := &kept.Targets{Source: source, At: time.Now(), Found: s.found[source]}
	_, old := s.keptAt[source]
	good := s.findFailed == nil && !old && k.Found != nil
	s.mu.Unlock()
	if good {
		s.writer.Write(p.store, k)
	}
}
