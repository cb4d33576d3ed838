package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/penstock-edge/penstock/bench/duel"
	"github.com/penstock-edge/penstock/bench/peer"
)

// runProfile has the gateway do each of some works and merges the CPU profiles of all, weighted alike.
func runProfile(args []string) (err error) {
	f := flag.NewFlagSet("profile", flag.ExitOnError)
	ours := f.String("ours", "bin/penstock", "the gateway's program")
	works := f.String("works",
		"plain-128,plain-10k,full-128,close-128,tls-128,cached-128,missed-10k", "what to do")
	seconds := f.Int("seconds", 10, "of each work")
	out := f.String("out", "cmd/penstock/default.pgo", "where the profile goes")
	_ = f.Parse(args)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ring, err := duel.NewRing(self, *ours)
	if err != nil {
		return err
	}
	defer ring.Close()
	dir, err := os.MkdirTemp("", "penstock-profile-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	merge := []string{"tool", "pprof", "-proto", "-output", *out}
	for _, name := range strings.Split(*works, ",") {
		w, err := peer.Find(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s: %d seconds\n", name, *seconds)
		file := filepath.Join(dir, name)
		if err := profileWork(ring, w, *seconds, file); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		merge = append(merge, file)
	}
	if text, err := exec.Command("go", merge...).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot merge the profiles: %w: %s", err, text)
	}
	return nil
}

// profileWork writes the CPU profile of a work at full load to file.
func profileWork(ring *duel.Ring, w peer.Work, seconds int, file string) error {
	p, err := ring.Start("ours", w)
	if err != nil {
		return err
	}
	defer p.Stop()
	done := make(chan error, 1)
	go func() {
		done <- fetch(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", p.Setup.Admin, seconds), file)
	}()
	_, err = p.Measure(0, float64(seconds)+1)
	return errors.Join(err, <-done)
}

// fetch writes what is at url to a file.
func fetch(url, file string) error {
	r, err := http.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, r.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r.Body)
	return errors.Join(err, f.Close())
}
