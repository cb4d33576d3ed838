package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// plainHandler writes events as lines for a person at a terminal: the demo's.
type plainHandler struct {
	w     io.Writer
	mu    *sync.Mutex // held while a line is written
	level slog.Leveler
	more  []slog.Attr
}

func newPlainHandler(w io.Writer, level slog.Leveler) *plainHandler {
	return &plainHandler{w: w, mu: new(sync.Mutex), level: level}
}

// Enabled implements slog.Handler.
func (h *plainHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// Handle implements slog.Handler.
func (h *plainHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Time.Format("15:04:05 "))
	if r.Level != slog.LevelInfo {
		b.WriteString(strings.ToLower(r.Level.String()) + ": ")
	}
	b.WriteString(r.Message)
	sep := ": "
	add := func(a slog.Attr) bool {
		b.WriteString(sep + a.Key + " " + a.Value.String())
		sep = ", "
		return true
	}
	for _, a := range h.more {
		add(a)
	}
	r.Attrs(add)
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, b.String())
	return err
}

// WithAttrs implements slog.Handler.
func (h *plainHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	more := *h
	more.more = append(more.more[:len(more.more):len(more.more)], attrs...)
	return &more
}

// WithGroup implements slog.Handler. Nothing of ours has groups.
func (h *plainHandler) WithGroup(string) slog.Handler { return h }
