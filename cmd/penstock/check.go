package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/live"
)

type checkCmd struct {
	File string `arg:"" help:"The configuration." placeholder:"FILE"`
	JSON bool   `name:"json" help:"Print the mistakes as a JSON array on standard output."`
	// Credentials is the folder that stands for the one systemd makes of LoadCredential=.
	Credentials string `help:"Folder with the unit's credentials." placeholder:"DIR"`
	User        string `help:"Tell root what it could not read." default:"penstock" placeholder:"NAME"`
}

// Help implements kong.HelpProvider.
func (checkCmd) Help() string {
	return `Builds everything that run would, opens no port, and prints a summary. All mistakes are
printed at once, one a line, as FILE:LINE:COL: key: what is wrong. The exit status is 0 for
a good file, else 1.

Example:

  penstock check configs/minimal.toml`
}

// Run checks the file.
func (k *checkCmd) Run(c *console) error {
	if k.Credentials != "" {
		if err := os.Setenv(credentialsVariable, k.Credentials); err != nil {
			return fmt.Errorf("cannot take %q for the credentials: %w", k.Credentials, err)
		}
	}
	b, errs := load(k.File)
	if k.JSON {
		return k.json(c, b, errs)
	}
	if errs != nil {
		err := complain(c, errs)
		c.errorf("%s", hintCredentials(errs))
		return err
	}
	defer b.Close()
	var text bytes.Buffer
	summary(&console{out: &text}, k.File, b)
	c.printf("%s", b.Config.File.Hide(text.String()))
	for _, line := range unreadable(k.File, k.User) {
		c.printf("warning    %s\n", line)
	}
	return nil
}

func (k *checkCmd) json(c *console, b *live.Built, errs config.Errors) error {
	if errs == nil {
		b.Close()
		errs = config.Errors{} // an empty array, not null
	}
	text, err := json.MarshalIndent(errs, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write the mistakes as JSON: %w", err)
	}
	c.printf("%s\n", text)
	if len(errs) > 0 {
		return exit(1)
	}
	return nil
}

// load builds a file without serving it; the caller closes what it gets.
func load(file string) (*live.Built, config.Errors) {
	text, err := os.ReadFile(file)
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err // the name stands before the message
		}
		return nil, config.Errors{{File: file, Line: 1, Col: 1,
			Message: fmt.Sprintf("cannot read the configuration: %s", err)}}
	}
	b, err := live.Check(file, text, dryFeatures())
	return b, asErrors(err)
}

// asErrors returns what err is made of; nil for nil.
func asErrors(err error) config.Errors {
	var errs config.Errors
	if err != nil && !errors.As(err, &errs) {
		panic("BUG: a check failed with " + err.Error())
	}
	return errs
}

// complain prints mistakes, one a line.
func complain(c *console, errs config.Errors) error {
	c.errorf("%s\n", errs.Error())
	return exit(1)
}

func summary(c *console, file string, b *live.Built) {
	c.printf("%s is good\n", file)
	c.printf("listeners  %d: %s\n", len(b.Config.Listeners), some(listenerNames(b.Config)))
	c.printf("routes     %d: %s\n", len(b.Plans), some(routeNames(b)))
	pools := poolNames(b.Config)
	c.printf("pools      %d: %s\n", len(pools), some(pools))
	c.printf("admin      %s\n", b.Config.Admin.Address)
	for _, w := range b.Config.File.Warnings() {
		c.printf("warning    %s\n", w)
	}
	for _, s := range b.Routes.Shadowed() {
		c.printf("warning    route %s never matches: %s takes every request that it would\n",
			b.Plans[s.Rule].Name, b.Plans[s.By].Name)
	}
}

func listenerNames(conf *config.Config) (names []string) {
	for i := range conf.Listeners {
		l := &conf.Listeners[i]
		what := l.Address
		if l.Name != l.Address {
			what = l.Name + " on " + l.Address
		}
		if len(l.Certificates) > 0 {
			what += " (TLS)"
		}
		names = append(names, what)
	}
	return names
}

func routeNames(b *live.Built) (names []string) {
	for _, i := range b.Routes.Order() {
		names = append(names, b.Plans[i].Name)
	}
	return names
}

// poolNames returns the pools of a file that is good.
func poolNames(conf *config.Config) (names []string) {
	for _, t := range conf.File.Root.Children("pool") {
		names = append(names, t.Name())
	}
	return names
}

// some joins names, not too many.
func some(names []string) string {
	const most = 12
	if len(names) == 0 {
		return "none"
	}
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
