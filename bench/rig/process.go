// Package rig starts the programs of a comparison on the cores that are theirs, reads what they cost from
// /proc, and does the arithmetic.
package rig

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/penstock-edge/penstock/bench/load"
)

// The cores: the proxy has one for itself, loader and origin share the other.
const (
	ProxyCore = 0
	OtherCore = 1
)

// Process is a program that runs.
type Process struct {
	Pid  int
	cmd  *exec.Cmd
	gone chan struct{}
	logs *os.File
}

// Program is how to start one.
type Program struct {
	Args  []string // the program's name first
	Core  int
	Ours  bool   // one of bench's own: a single thread, before others on its core
	Out   string // file for standard output; "": where the errors go
	Err   string // file for standard error
	Ready string // address that answers when it is up
}

// Start starts a program on its core, and waits until it can be connected to.
func Start(p Program) (*Process, error) {
	cmd, logs, err := command(p)
	if err != nil {
		return nil, err
	}
	return launch(p, cmd, logs)
}

func command(p Program) (*exec.Cmd, *os.File, error) {
	args := []string{"-c", strconv.Itoa(p.Core)}
	if p.Ours {
		args = append(args, "nice", "-n", "-15")
	}
	cmd := exec.Command("taskset", append(args, p.Args...)...)
	if p.Ours {
		cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	logs, err := os.OpenFile(p.Err, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, nil, err
	}
	cmd.Stdout, cmd.Stderr = logs, logs
	if p.Out != "" {
		out, err := os.Create(p.Out)
		if err != nil {
			return nil, nil, errors.Join(err, logs.Close())
		}
		cmd.Stdout = out
	}
	return cmd, logs, nil
}

func launch(p Program, cmd *exec.Cmd, logs *os.File) (*Process, error) {
	err := cmd.Start()
	if out, ok := cmd.Stdout.(*os.File); ok && out != logs {
		out.Close() // the program has its own
	}
	if err != nil {
		return nil, errors.Join(err, logs.Close())
	}
	r := &Process{Pid: cmd.Process.Pid, cmd: cmd, gone: make(chan struct{}), logs: logs}
	go func() { _ = cmd.Wait(); close(r.gone) }() // how it ended is in its log
	for end := time.Now().Add(30 * time.Second); p.Ready != ""; {
		c, err := net.DialTimeout("tcp", p.Ready, time.Second)
		if err == nil {
			return r, c.Close()
		}
		select {
		case <-r.gone:
			r.Stop() // others that it may have started
			text, _ := os.ReadFile(p.Err)
			return nil, fmt.Errorf("%s ended: %s", p.Args[0], tail(text))
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			r.Stop()
			return nil, fmt.Errorf("%s: nothing at %s", p.Args[0], p.Ready)
		}
	}
	return r, nil
}

func tail(text []byte) string {
	return strings.TrimSpace(string(text[max(0, len(text)-500):]))
}

// Stop ends a program and what it has started.
func (p *Process) Stop() {
	_ = syscall.Kill(-p.Pid, syscall.SIGTERM)
	select {
	case <-p.gone:
	case <-time.After(2 * time.Second):
	}
	_ = syscall.Kill(-p.Pid, syscall.SIGKILL)
	<-p.gone
	p.logs.Close()
}

// Loader is a load generator that runs and takes commands.
type Loader struct {
	*Process
	in  *json.Decoder
	out interface{ Write([]byte) (int, error) }
}

// StartLoader starts the loader of the program at self with the given flags.
func StartLoader(self, log string, flags ...string) (*Loader, error) {
	p := Program{Args: append([]string{self, "load"}, flags...), Core: OtherCore, Ours: true, Err: log}
	cmd, logs, err := command(p)
	if err != nil {
		return nil, err
	}
	cmd.Stdout = nil
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, logs.Close())
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, logs.Close())
	}
	// The pipe must not close while an answer is on its way, so the process is not waited for before Stop.
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, logs.Close())
	}
	r := &Process{Pid: cmd.Process.Pid, cmd: cmd, gone: make(chan struct{}), logs: logs}
	go func() { _, _ = cmd.Process.Wait(); close(r.gone) }()
	return &Loader{Process: r, in: json.NewDecoder(bufio.NewReader(out)), out: in}, nil
}

// Do has the loader do one line and gives what came of it.
func (l *Loader) Do(format string, args ...any) (load.Result, error) {
	var res load.Result
	if _, err := fmt.Fprintf(l.out, format+"\n", args...); err != nil {
		return res, err
	}
	if err := l.in.Decode(&res); err != nil {
		return res, fmt.Errorf("loader: %w", err)
	}
	if res.Error != "" {
		return res, errors.New("loader: " + res.Error)
	}
	return res, nil
}

// Answers waits until addr can be connected to.
func Answers(addr string, within time.Duration) error {
	for end := time.Now().Add(within); ; {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(end) {
			return fmt.Errorf("nothing at %s: %w", addr, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// FreeAddr gives an address of this host that nobody listens at, and a new one each time. Its port is below
// those that Linux gives to clients (from 32768 on): a loader's connection could take one of these in
// between. It is above those that the black-box tests give out (edge/e2e), which may run at the same time.
func FreeAddr() (string, error) {
	ports.Lock()
	defer ports.Unlock()
	for range lastPort - firstPort {
		if ports.next++; ports.next >= lastPort {
			ports.next = firstPort
		}
		addr := fmt.Sprintf("127.0.0.1:%d", ports.next)
		if l, err := net.Listen("tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", errors.New("no port is free")
}

const firstPort, lastPort = 30_000, 32_768

var ports = struct {
	sync.Mutex
	next int
}{next: firstPort + os.Getpid()%(lastPort-firstPort)}
