// Command tool is the benchmarks' programs: an origin, a loader, a relay, and the comparison that runs them.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/penstock-edge/penstock/bench/load"
	"github.com/penstock-edge/penstock/bench/origin"
	"github.com/penstock-edge/penstock/bench/rawnet"
	"github.com/penstock-edge/penstock/bench/relay"
)

const usage = `usage: tool <command> [flags]

  origin      answer with as many bytes as the last segment of the path says
  misbehave   answer slowly or badly, as PUT /behave says
  load        send requests as the lines on standard input say
  relay       pass bytes on and look at none of them
  versus      compare Penstock with other proxies
  capacity    say what a configuration file costs, and what a host carries with it
  resilience  draw what a limit does under overload, and what hedging does for slow answers
  conform     run what the RFCs ask of a shared cache against Penstock and others
  hits        say what a cache is worth beside Varnish, and what a full one costs
  profile     write the CPU profile that the compiler optimises by

Each has -help.
`

func main() {
	if len(os.Args) < 2 {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	commands := map[string]func([]string) error{
		"origin": runOrigin, "load": runLoad, "relay": runRelay, "versus": runVersus,
		"capacity": runCapacity, "profile": runProfile,
		"misbehave": runMisbehave, "resilience": runResilience,
		"hits": runHits, "conform": runConform,
	}
	run := commands[os.Args[1]]
	if run == nil {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err := run(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "tool:", err)
		os.Exit(1)
	}
}

func runOrigin(args []string) error {
	f := flag.NewFlagSet("origin", flag.ExitOnError)
	addr := f.String("listen", "127.0.0.1:0", "address to answer at")
	_ = f.Parse(args)
	return origin.Run(*addr)
}

func runRelay(args []string) error {
	f := flag.NewFlagSet("relay", flag.ExitOnError)
	addr := f.String("listen", "127.0.0.1:0", "address to take connections at")
	target := f.String("target", "", "address to pass them on to")
	_ = f.Parse(args)
	return relay.Run(*addr, *target)
}

func runLoad(args []string) error {
	f := flag.NewFlagSet("load", flag.ExitOnError)
	var opt load.Options
	f.StringVar(&opt.Addr, "addr", "", "address to send to")
	path := f.String("path", "/128", "what to ask for; {n} is a number that counts up")
	count := f.Int("paths", 1, "how many numbers to put for {n}")
	f.BoolVar(&opt.Close, "close", false, "a connection for each request")
	f.BoolVar(&opt.TLS, "tls", false, "TLS 1.3, whatever the certificate")
	_ = f.Parse(args)
	if opt.Owned = !opt.TLS; opt.Owned {
		rawnet.Own()
	}
	for i := range *count {
		opt.Paths = append(opt.Paths, strings.ReplaceAll(*path, "{n}", fmt.Sprint(i)))
	}
	return load.Serve(opt, os.Stdin, os.Stdout)
}
