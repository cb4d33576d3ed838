package quota

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var monthly = &Rule{Limit: 100, Period: Month}

// leaves checks what keys 0, 1, 2, ... have left.
func leaves(t testing.TB, s *Store, now int64, left ...int64) {
	t.Helper()
	for k, want := range left {
		if got := s.Peek(key(k), now, 0, monthly).Remaining; got != want {
			t.Errorf("key %d has %d left, want %d", k, got, want)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func names(t testing.TB, folder string) string {
	t.Helper()
	list, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range list {
		all = append(all, f.Name())
	}
	return strings.Join(all, " ")
}

func TestRestart(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "q"), moment(t, "2026-02-03 04:05")
	s := open(t, path, 100, &now)
	s.TryCharge(key(0), now, 30, monthly)
	s.Charge(key(1), now, 130, monthly)
	s.TryCharge(key(2), now, 5, &Rule{Limit: 5, Period: Hour})
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, filepath.Dir(path)); got != "q" {
		t.Errorf("the folder has %s, want q", got)
	}
	leaves(t, open(t, path, 100, &now), now, 70, -30, 95)
	now += int64(time.Hour)
	if got := open(t, path, 100, &now).TryCharge(key(2), now, 5, &Rule{Limit: 5, Period: Hour}); !got.OK {
		t.Errorf("%+v in the next hour", got)
	}
	// Fewer keys find room: those that have used most stay.
	leaves(t, open(t, path, 1, &now), now, 70, -30)
	now = moment(t, "2026-03-01 05:00")
	if s = open(t, path, 100, &now); s.Len() != 0 {
		t.Errorf("%d keys in the next month", s.Len())
	}
}

// The file is written by itself, once in a second with changes.
func TestWritesItself(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q")
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(path, 100, nil)
		if err != nil {
			t.Fatal(err)
		}
		after := func(d time.Duration) int64 {
			time.Sleep(d) // of the bubble's clock
			synctest.Wait()
			return time.Now().UnixNano()
		}
		now := after(900 * time.Millisecond)
		s.TryCharge(key(0), now, 30, monthly)
		if exists(path) {
			t.Error("it is written at once")
		}
		now = after(100 * time.Millisecond)
		leaves(t, open(t, path, 100, &now), now, 70)
		if err = os.Remove(path); err != nil {
			t.Fatal(err)
		}
		now = after(10 * time.Second)
		s.Peek(key(0), now, 1, monthly)
		s.TryCharge(key(0), now, 71, monthly)
		if exists(path) {
			t.Error("it is written though nothing has changed")
		}
		s.Charge(key(0), now, -1, monthly)
		now = after(time.Second)
		leaves(t, open(t, path, 100, &now), now, 71)
		s.TryCharge(key(0), now, 1, monthly)
		if err = s.Close(); err != nil {
			t.Error(err)
		}
		leaves(t, open(t, path, 100, &now), now, 70)
	})
}

// A disk that takes a second for the file has nine to itself.
func TestSlowDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "q")
	synctest.Test(t, func(t *testing.T) {
		var writes atomic.Int64
		s := newStore(path, 100, nil)
		s.wrap = func(w io.Writer) io.Writer {
			writes.Add(1)
			time.Sleep(time.Second) // of the bubble's clock
			return w
		}
		if err := s.begin(time.Second); err != nil {
			t.Fatal(err)
		}
		for _, want := range []int64{0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2} {
			synctest.Wait()
			if n := writes.Load(); n != want {
				t.Errorf("%d writes, want %d", n, want)
			}
			s.TryCharge(key(0), time.Now().UnixNano(), 1, monthly)
			time.Sleep(time.Second)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// logged returns a store whose log is in the buffer.
func logged(t testing.TB, path string, now *int64) (*Store, *bytes.Buffer) {
	t.Helper()
	var b bytes.Buffer
	s := newStore(path, 100, slog.New(slog.NewTextHandler(&b, nil)))
	s.clock = func() time.Time { return time.Unix(0, *now) }
	if err := s.begin(0); err != nil {
		t.Fatal(err)
	}
	return s, &b
}

func TestDamagedFile(t *testing.T) {
	now := moment(t, "2026-02-03 04:05")
	good := sample(t)
	f := func(content []byte, say string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "q")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s, log := logged(t, path, &now)
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), say) {
			t.Errorf("%d errors, want one with %q: %s", n, say, log)
		}
		if aside, err := os.ReadFile(path + ".damaged"); err != nil || !bytes.Equal(aside, content) {
			t.Errorf("%d bytes are set aside of %d, %v", len(aside), len(content), err)
		}
		leaves(t, s, now, 100)
		s.TryCharge(key(0), now, 1, monthly)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		again, log := logged(t, path, &now)
		leaves(t, again, now, 99)
		if log.Len() != 0 {
			t.Errorf("said after all was well: %s", log)
		}
	}
	f(nil, "it begins otherwise")
	f([]byte("something else altogether, and long enough"), "it begins otherwise")
	f(good[:len(good)-1], "middle of a record")
	f(good[:len(good)-recordSize], "checksum")
	f(append(bytes.Clone(good), 0), "middle of a record")
	f([]byte(fileMagic+"2"), "version")
	for i := headSize; i < len(good); i += 7 {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		f(bad, "checksum")
	}
}

func TestCannotBeWritten(t *testing.T) {
	folder := t.TempDir()
	f := func(path, say string) {
		t.Helper()
		s, err := Open(path, 100, nil)
		if err == nil {
			t.Errorf("%s is opened", path)
			_ = s.Close() // it should not be
		} else if !strings.Contains(err.Error(), say) {
			t.Errorf("%v, want %q", err, say)
		}
	}
	f(filepath.Join(folder, "none", "q"), "must exist")
	f(folder, "name a file")
	if err := os.WriteFile(filepath.Join(folder, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f(filepath.Join(folder, "file", "q"), "must exist")
	if os.Getuid() == 0 {
		t.Log("root may write to any folder: the case of one that is write-protected is left out")
		return
	}
	if err := os.Chmod(folder, 0o500); err != nil {
		t.Fatal(err)
	}
	f(filepath.Join(folder, "q"), "must be allowed")
}

// limited lets so many bytes through; what comes after them meets end.
type limited struct {
	to   io.Writer
	left int
	end  func() error
}

func (w *limited) Write(b []byte) (int, error) {
	if len(b) <= w.left {
		w.left -= len(b)
		return w.to.Write(b)
	}
	n, err := w.to.Write(b[:w.left])
	if w.left = 0; err != nil {
		return n, err
	}
	return n, w.end()
}

func TestFullDisk(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "q"), moment(t, "2026-02-03 04:05")
	s, log := logged(t, path, &now)
	s.TryCharge(key(0), now, 10, monthly)
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	var full atomic.Bool
	full.Store(true)
	s.wrap = func(w io.Writer) io.Writer {
		if !full.Load() {
			return w
		}
		return &limited{w, 20, func() error { return syscall.ENOSPC }}
	}
	for range 5 {
		s.TryCharge(key(0), now, 1, monthly)
		if err := s.save(); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%v on a full disk", err)
		}
	}
	leaves(t, s, now, 85)
	leaves(t, open(t, path, 100, &now), now, 90)
	if got := names(t, filepath.Dir(path)); got != "q" {
		t.Errorf("the folder has %s, want q", got)
	}
	full.Store(false)
	for range 3 { // what had failed is tried again without a change
		if err := s.save(); err != nil {
			t.Error(err)
		}
	}
	leaves(t, open(t, path, 100, &now), now, 85)
	e, i := strings.Count(log.String(), "level=ERROR"), strings.Count(log.String(), "level=INFO")
	if s.Errors() != 5 || e != 1 || i != 1 {
		t.Errorf("%d errors counted, %d and %d lines in the log: %s", s.Errors(), e, i, log)
	}
	full.Store(true)
	s.TryCharge(key(0), now, 1, monthly)
	if err := s.Close(); err == nil {
		t.Error("Close says nothing of a full disk")
	}
}

// The process ends at each byte of a write: what was in the file is there, or all that was to be.
func TestKilled(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "q"), moment(t, "2026-02-03 04:05")
	s := open(t, path, 100, &now)
	s.TryCharge(key(0), now, 10, monthly)
	s.TryCharge(key(1), now, 10, monthly)
	if err := s.save(); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; ; n++ {
		s = open(t, path, 100, &now)
		s.TryCharge(key(0), now, 1, monthly)
		s.TryCharge(key(1), now, 2, monthly)
		s.TryCharge(key(2), now, 3, monthly)
		s.wrap = func(w io.Writer) io.Writer { return &limited{w, n, func() error { panic("killed") }} }
		if survives(s) {
			if size := len(old) + recordSize; n != size {
				t.Errorf("written after %d bytes, want %d", n, size)
			}
			break
		}
		leaves(t, open(t, path, 100, &now), now, 90, 90, 100)
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, old) {
			t.Fatalf("killed after %d bytes, the file is another one: %v", n, err)
		}
	}
	leaves(t, open(t, path, 100, &now), now, 89, 88, 97)
}

// survives saves and reports whether the process has lived through it.
func survives(s *Store) (lives bool) {
	defer func() {
		if recover() != nil {
			lives = false
		}
	}()
	return s.save() == nil
}

// What a killed process has left is removed, when it is old enough to be nobody's, and nothing else is.
func TestSweep(t *testing.T) {
	folder, now := t.TempDir(), moment(t, "2026-02-03 04:05")
	f := func(name string, age time.Duration, stays bool) {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
		open(t, filepath.Join(folder, "q"), 100, &now)
		if exists(path) != stays {
			t.Errorf("%s: there %v, want %v", name, !stays, stays)
		}
	}
	f("q.123456.new", 2*time.Hour, false)
	f("q.123457.new", 0, true)
	f("q.backup.new", 2*time.Hour, true)
	f("q.x.123.new", 2*time.Hour, true)
	f("q.new", 2*time.Hour, true)
	f("q..new", 2*time.Hour, true)
	f("other.123.new", 2*time.Hour, true)
	f("q.123", 2*time.Hour, true)
}

// Two processes share the file while the one takes over from the other.
func TestTakingOver(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "q"), moment(t, "2026-02-03 04:05")
	before, log := logged(t, path, &now)
	before.TryCharge(key(0), now, 10, monthly)
	before.TryCharge(key(1), now, 10, monthly)
	if err := before.save(); err != nil {
		t.Fatal(err)
	}
	after, _ := logged(t, path, &now)
	leaves(t, after, now, 90, 90)
	after.TryCharge(key(0), now, 20, monthly)
	before.TryCharge(key(1), now, 5, monthly)
	before.TryCharge(key(2), now, 7, monthly)
	for _, s := range []*Store{after, before, after, before} {
		if err := s.save(); err != nil {
			t.Fatal(err)
		}
	}
	leaves(t, before, now, 70, 85, 93)
	leaves(t, after, now, 70, 85, 93)
	before.TryCharge(key(2), now, 1, monthly)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	leaves(t, open(t, path, 100, &now), now, 70, 85, 92)
	if log.Len() != 0 {
		t.Errorf("said: %s", log)
	}
	// The later window counts, whoever has begun it.
	now = moment(t, "2026-03-03 04:05")
	next := open(t, path, 100, &now)
	next.TryCharge(key(0), now, 1, monthly)
	for _, s := range []*Store{next, after, next} {
		if err := s.save(); err != nil {
			t.Fatal(err)
		}
	}
	leaves(t, after, now, 99, 100, 100)
	// Of a file that is none nothing is taken in.
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := after.save(); err != nil {
			t.Fatal(err)
		}
	}
	leaves(t, open(t, path, 100, &now), now, 99)
}
