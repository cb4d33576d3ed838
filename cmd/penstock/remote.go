package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/penstock-edge/penstock/edge/config"
)

// defaultAdmin is the address of [admin] when a file gives none.
const defaultAdmin = "127.0.0.1:9901"

// remote is how a command finds the gateway it speaks to.
type remote struct {
	Admin  string `help:"Admin address: host:port or unix:/path." placeholder:"ADDR"`
	Config string `help:"Take the admin address from this configuration." placeholder:"FILE"`
}

type reloadCmd struct{ remote }

// Help implements kong.HelpProvider.
func (reloadCmd) Help() string {
	return `Prints what has changed. A file with mistakes changes nothing: they are printed, and the exit
status is 1.

Example:

  penstock reload --admin 127.0.0.1:9901`
}

// Run asks for a reload.
func (k *reloadCmd) Run(c *console) error {
	code, body, err := k.call("POST", "/reload")
	switch {
	case err != nil:
		return err
	case code == fasthttp.StatusOK:
		return reloaded(c, body)
	}
	c.errorf("%s", line(body))
	return exit(1)
}

// reloaded prints what the gateway says of a reload that worked.
func reloaded(c *console, body []byte) error {
	var r struct {
		Generation uint64   `json:"generation"`
		Changes    []string `json:"changes"`
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return fmt.Errorf("cannot read the gateway's answer: %w", err)
	}
	c.printf("generation %d serves\n", r.Generation)
	for _, change := range r.Changes {
		c.printf("%s\n", change)
	}
	if len(r.Changes) == 0 {
		c.printf("nothing has changed in the file\n")
	}
	return nil
}

type drainCmd struct{ remote }

// Help implements kong.HelpProvider.
func (drainCmd) Help() string {
	return `The gateway says 503 on /readyz, takes no new connection, lets requests end within
[server] drain_timeout, and ends.

Example:

  penstock drain --admin unix:/run/penstock/admin.sock`
}

// Run asks for a drain.
func (k *drainCmd) Run(c *console) error {
	body, err := k.expect("POST", "/drain")
	if err == nil {
		c.printf("%s", line(body))
	}
	return err
}

type statusCmd struct {
	remote
	JSON bool `name:"json" help:"Print all that is known, as JSON."`
}

// Help implements kong.HelpProvider.
func (statusCmd) Help() string {
	return `Prints a table of listeners, pools and targets, or with --json everything.

Example:

  penstock status --config /etc/penstock/penstock.toml`
}

// Run prints the status.
func (k *statusCmd) Run(c *console) error {
	body, err := k.expect("GET", "/status")
	if err != nil {
		return err
	}
	if k.JSON {
		c.printf("%s", line(body))
		return nil
	}
	return statusTable(c.out, body)
}

// expect makes a call that succeeds with any status of the 200s.
func (r *remote) expect(method, path string) ([]byte, error) {
	code, body, err := r.call(method, path)
	if err != nil {
		return nil, err
	}
	if code/100 != 2 {
		return nil, fmt.Errorf("the gateway answers %d: %s", code, strings.TrimSpace(string(body)))
	}
	return body, nil
}

// line returns body with a newline at its end, unless it is empty.
func line(body []byte) []byte {
	if n := len(body); n > 0 && body[n-1] != '\n' {
		body = append(body, '\n')
	}
	return body
}

// address returns where the admin listener is.
func (r *remote) address() (string, error) {
	switch {
	case r.Admin != "":
		return r.Admin, nil
	case r.Config == "":
		return defaultAdmin, nil
	}
	if address := published(); address != "" {
		return address, nil
	}
	text, err := os.ReadFile(r.Config)
	if err != nil {
		return "", fmt.Errorf("cannot read the configuration: %w", err)
	}
	// Mistakes in the file do not matter: the gateway may run on an earlier state of it.
	conf := config.Load(r.Config, text, config.Options{})
	if address := addressIn(text); address != "" && !conf.Admin.Table.Has("address") {
		return address, nil
	}
	return conf.Admin.Address, nil
}

// patience is how long an admin call may take; building a very large configuration takes a second.
const patience = time.Minute

// call makes one admin call.
func (r *remote) call(method, path string) (code int, body []byte, err error) {
	address, err := r.address()
	if err != nil {
		return 0, nil, err
	}
	client := fasthttp.HostClient{Addr: address, Name: "penstock", MaxIdemponentCallAttempts: 1,
		Dial: func(string) (net.Conn, error) { return dial(address, time.Second) }}
	var req fasthttp.Request
	var resp fasthttp.Response
	req.Header.SetMethod(method)
	req.SetRequestURI("http://" + hostFor(address) + path)
	req.SetConnectionClose()
	if err := client.DoTimeout(&req, &resp, patience); err != nil {
		return 0, nil, fmt.Errorf("cannot reach the admin address %s: %w%s", address, err, hint(err))
	}
	return resp.StatusCode(), resp.Body(), nil
}

func hint(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return " (does the gateway run? --admin names another address)"
	}
	return ""
}

// hostFor returns the Host of calls to address; the admin listener takes addresses and localhost only.
func hostFor(address string) string {
	if strings.HasPrefix(address, "unix:") {
		return "localhost"
	}
	if strings.HasPrefix(address, ":") {
		return "127.0.0.1" + address
	}
	return address
}

// dial connects to host:port or unix:/path.
func dial(address string, timeout time.Duration) (net.Conn, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return net.DialTimeout("unix", path, timeout)
	}
	return net.DialTimeout("tcp", address, timeout)
}
