// Command penstock is the gateway: it serves a configuration file, checks and explains one, and speaks to a
// gateway that runs.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/alecthomas/kong"
)

// Set by the linker: -X main.version=… -X main.commit=….
var version, commit = "dev", "unknown"

// commands is the command line.
type commands struct {
	Run     runCmd     `cmd:"" help:"Serve a configuration, or the built-in demo."`
	Check   checkCmd   `cmd:"" help:"Say everything that is wrong with a configuration."`
	Routes  routesCmd  `cmd:"" help:"Print the routes in the order in which they match."`
	Explain explainCmd `cmd:"" help:"Say which route a request would take, and why."`
	Reload  reloadCmd  `cmd:"" help:"Have a running gateway read its configuration again."`
	Drain   drainCmd   `cmd:"" help:"Have a running gateway finish its requests and end."`
	Status  statusCmd  `cmd:"" help:"Print what a running gateway is doing."`
	Keys    keysCmd    `cmd:"" help:"Print every key of the configuration with type, default and meaning."`
	Version versionCmd `cmd:"" help:"Print the version."`
	// Help stands here for the list alone: command makes the flag of it.
	Help       helpCmd       `cmd:"" help:"Show the help of a command."`
	Completion completionCmd `cmd:"" help:"Print a script that completes the command line: bash, zsh or fish."`

	ShowVersion bool `name:"version" help:"Print the version."`
}

type helpCmd struct {
	Command string `arg:"" optional:"" help:"A command."`
}

// normal returns args in the form that the parser knows: help and --version are a flag and a command there.
func normal(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
	case args[0] == "help":
		return append(args[1:len(args):len(args)], "--help")
	case args[0] == "--version":
		return append([]string{"version"}, args[1:]...)
	}
	return args
}

// console is where a command writes.
type console struct{ out, err io.Writer }

func (c *console) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, format, args...) // a terminal that has gone has no reader
}

func (c *console) errorf(format string, args ...any) {
	_, _ = fmt.Fprintf(c.err, format, args...) // as above
}

// exit is an exit status as an error: what there was to say has been printed.
type exit int

// Error implements error.
func (e exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func main() {
	os.Exit(command(os.Args[1:], &console{out: os.Stdout, err: os.Stderr}))
}

// command runs one command line and returns the exit status.
func command(args []string, c *console) int {
	var cmds commands
	done := exit(-1) // what --help ended with; -1: it was not asked for
	parser, err := kong.New(&cmds,
		kong.Name("penstock"),
		kong.Description("An API gateway and edge proxy. Each command has its own --help with an example."),
		kong.Writers(c.out, c.err),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Exit(func(code int) { done = exit(code) }))
	if err != nil {
		panic("BUG: the command line's grammar: " + err.Error())
	}
	ctx, err := parser.Parse(normal(args))
	if done >= 0 {
		return int(done)
	}
	if err != nil {
		c.errorf("penstock: %s (penstock --help lists the commands)\n", err)
		return 1
	}
	return status(c, ctx.Run(c, parser))
}

// status prints an error that has not been printed yet and turns it into an exit status.
func status(c *console, err error) int {
	var code exit
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	c.errorf("penstock: %s\n", err)
	return 1
}

type versionCmd struct{}

// Help implements kong.HelpProvider.
func (versionCmd) Help() string { return "Example:\n\n  penstock version" }

// Run prints the version of this binary.
func (versionCmd) Run(c *console) error {
	c.printf("penstock %s, commit %s, %s %s/%s\n", version, commit,
		runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
