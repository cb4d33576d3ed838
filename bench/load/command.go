package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

func statusKind(status int) string { return "status-" + strconv.Itoa(status) }

// maxConns is more than a process may have open anywhere.
const maxConns = 1 << 20

// runner is a loader, on raw sockets or over TLS.
type runner interface {
	Run(conns int, rate float64, last time.Duration) Result
	holder
	Close()
}

// holder keeps connections open.
type holder interface {
	Idle(conns int) Result
	Burst() Result
	Drop()
}

// Serve does what the lines it reads say, and writes a line of JSON for each:
//
//	run conns=64 rate=20000 seconds=2   open loop; rate=0: closed loop
//	idle conns=5000                     open connections, one request each, keep them
//	burst                               one request over each of those at once
//	drop                                close them
func Serve(opt Options, in io.Reader, out io.Writer) error {
	r, err := newRunner(opt)
	if err != nil {
		return err
	}
	defer r.Close()
	lines := bufio.NewScanner(in)
	enc := json.NewEncoder(out)
	for lines.Scan() {
		res, err := command(r, lines.Text())
		if err != nil {
			res.Error = err.Error()
		}
		if err := enc.Encode(res); err != nil {
			return err
		}
	}
	return lines.Err()
}

func newRunner(opt Options) (runner, error) {
	if opt.TLS {
		return newSecure(opt)
	}
	return New(opt)
}

func command(r runner, line string) (Result, error) {
	name, rest, _ := strings.Cut(line, " ")
	args := map[string]float64{"conns": 64, "rate": 0, "seconds": 2}
	for _, f := range strings.Fields(rest) {
		key, value, _ := strings.Cut(f, "=")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return Result{}, fmt.Errorf("%s: %w", key, err)
		}
		if _, known := args[key]; !known || !(v >= 0 && v <= maxConns) {
			return Result{}, fmt.Errorf("%s=%s: unknown, or out of range", key, value)
		}
		args[key] = v
	}
	conns := int(args["conns"])
	if conns < 1 || args["seconds"] == 0 {
		return Result{}, errors.New("want at least one connection, and some time")
	}
	switch name {
	case "run":
		return r.Run(conns, args["rate"], time.Duration(args["seconds"]*1e9)), nil
	case "idle":
		return r.Idle(conns), nil
	case "burst":
		return r.Burst(), nil
	case "drop":
		r.Drop()
		return Result{}, nil
	}
	return Result{}, fmt.Errorf("unknown command %q", name)
}
