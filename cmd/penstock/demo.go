package main

import (
	_ "embed"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"

	"github.com/valyala/fasthttp"
)

//go:embed demo.toml
var demoText string

// demo is the built-in configuration and the origins it forwards to.
type demo struct {
	conf    string
	listen  string
	admin   string
	origins []*fasthttp.Server
}

// startDemo starts three origins on free ports of the loopback.
func startDemo(listen, admin string) (*demo, error) {
	d := &demo{listen: listen, admin: admin}
	pairs := []string{"{{listen}}", listen, "{{admin}}", admin}
	for _, name := range []string{"red", "green", "blue"} {
		socket, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			d.close()
			return nil, fmt.Errorf("cannot start the demo's origin %s: %w", name, err)
		}
		d.origins = append(d.origins, origin(name, socket))
		pairs = append(pairs, "{{"+name+"}}", socket.Addr().String())
	}
	d.conf = strings.NewReplacer(pairs...).Replace(demoText)
	return d, nil
}

// origin serves a page that shows what arrived.
func origin(name string, socket net.Listener) *fasthttp.Server {
	s := &fasthttp.Server{
		Name: "demo-" + name, CloseOnShutdown: true, Logger: quiet{},
		Handler: func(ctx *fasthttp.RequestCtx) {
			_, _ = fmt.Fprintf(ctx, "Hello from the origin %s. This is what it received:\n\n%s", name, // into memory
				strings.ReplaceAll(ctx.Request.Header.String(), "\r\n", "\n"))
		},
	}
	go func() { _ = s.Serve(socket) }() // it ends with the process
	return s
}

// text is the source of the configuration for live.
func (d *demo) text() (name string, text []byte, err error) { return "demo.toml", []byte(d.conf), nil }

// announce prints where the demo is and what to try.
func (d *demo) announce(log *slog.Logger) {
	base := "http://" + d.listen
	log.Info("this is the demo; penstock run --config FILE serves a configuration of your own")
	log.Info("the gateway is at " + base + ", its admin API at http://" + d.admin + "; try:")
	for _, path := range []string{"/", "/items/7", "/canary/", "/old/7", "/ping"} {
		log.Info("  curl -i " + base + path)
	}
	log.Info("  curl http://" + d.admin + "/status")
}

func (d *demo) close() {
	for _, s := range d.origins {
		_ = s.Shutdown() // the process ends
	}
}

// quiet drops what the origins would log.
type quiet struct{}

// Printf implements fasthttp.Logger.
func (quiet) Printf(format string, args ...any) { _, _ = fmt.Fprintf(io.Discard, format, args...) }
