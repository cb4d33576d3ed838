package rig

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// needs skips a test where a program is missing that processes are started by.
func needs(t *testing.T) {
	for _, program := range []string{"taskset", "nice"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program, " is not installed")
		}
	}
}

// script writes a shell script and gives its file.
func script(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// alive reports whether a process is there and has not ended, waited for or not.
func alive(pid int) bool {
	f := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	return len(f) > 0 && f[0] != "Z" && f[0] != "X"
}

func TestStartAndStop(t *testing.T) {
	needs(t)
	dir := t.TempDir()
	f := func(text string) {
		t.Helper()
		p, err := Start(Program{Args: []string{script(t, text)}, Out: filepath.Join(dir, "out"),
			Err: filepath.Join(dir, "err")})
		if err != nil {
			t.Fatal(err)
		}
		pids := Tree(p.Pid)
		if _, err := ReadCPU(pids); err != nil {
			t.Error(err)
		}
		p.Stop()
		for _, pid := range pids {
			for alive(pid) { // what Stop has not waited for ends soon, or the test does not
				runtime.Gosched()
			}
		}
	}
	f("exec tail -f /dev/null\n")
	f("tail -f /dev/null & wait\n")
}

func TestStartWaits(t *testing.T) {
	needs(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := Start(Program{Args: []string{script(t, "exec tail -f /dev/null\n")}, Ready: l.Addr().String(),
		Err: filepath.Join(t.TempDir(), "err")})
	if err != nil {
		t.Fatal(err)
	}
	p.Stop()
}

// A program that ends before it is ready says why.
func TestStartFails(t *testing.T) {
	needs(t)
	addr, err := FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	f := func(text, want string) {
		t.Helper()
		p, err := Start(Program{Args: []string{script(t, text)}, Ready: addr, Err: filepath.Join(t.TempDir(), "err")})
		if err == nil {
			p.Stop()
			t.Fatalf("%q: has started", text)
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	f("echo port in use >&2; exit 1\n", "port in use")
	f("exec /nowhere/program\n", "/nowhere/program")
}

func TestLoader(t *testing.T) {
	needs(t)
	self := script(t, `[ "$1 $2 $3" = "load -addr x" ] || exit 1
while read line; do
	case $line in
	"run conns=3") echo '{"sent":7,"done":6,"failed":1,"errors":{"reset":1}}' ;;
	end) exit 0 ;;
	*) echo '{"error":"unknown command"}' ;;
	esac
done
`)
	l, err := StartLoader(self, filepath.Join(t.TempDir(), "log"), "-addr", "x")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	r, err := l.Do("run conns=%d", 3)
	if err != nil || r.Sent != 7 || r.Done != 6 || r.Errors["reset"] != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := l.Do("walk"); err == nil || !strings.Contains(err.Error(), "unknown command") {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := l.Do("end"); err == nil {
		t.Errorf("a loader that has ended answers: %+v", r)
	}
}
