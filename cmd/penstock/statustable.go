package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// gatewayStatus is what the table shows of /status.
type gatewayStatus struct {
	Generation  uint64 `json:"generation"`
	Generations []struct {
		ID        uint64  `json:"id"`
		Running   bool    `json:"running"`
		Age       float64 `json:"age_seconds"`
		Exchanges int64   `json:"exchanges"`
	} `json:"generations"`
	Listeners []struct {
		Name        string `json:"name"`
		Address     string `json:"address"`
		TLS         bool   `json:"tls"`
		Connections int64  `json:"connections"`
	} `json:"listeners"`
	Routes []json.RawMessage `json:"routes"`
	Pools  []struct {
		Name    string `json:"name"`
		Balance string `json:"balance"`
		Usable  int    `json:"usable"`
		Waiting int    `json:"waiting"`
		Targets []struct {
			Address     string `json:"address"`
			State       string `json:"state"`
			Usable      bool   `json:"usable"`
			Weight      int32  `json:"weight"`
			InFlight    int64  `json:"in_flight"`
			Connections int64  `json:"connections"`
			Why         string `json:"why"`
			LastError   string `json:"last_error"`
		} `json:"targets"`
	} `json:"pools"`
}

// statusTable writes what a person wants to see at a glance.
func statusTable(w io.Writer, text []byte) error {
	var s gatewayStatus
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("cannot read the gateway's answer: %w", err)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(cells ...any) {
		all := make([]string, len(cells))
		for i, c := range cells {
			all[i] = strings.NewReplacer("\t", " ", "\n", " ").Replace(fmt.Sprint(c))
		}
		_, _ = fmt.Fprintln(t, strings.Join(all, "\t")) // into memory
	}
	line("GENERATION", "STATE", "AGE", "REQUESTS")
	for _, g := range s.Generations {
		state := "ending"
		if g.Running {
			state = "serving"
		}
		line(g.ID, state, time.Duration(g.Age*float64(time.Second)).Round(time.Second), g.Exchanges)
	}
	line("")
	line("LISTENER", "ADDRESS", "TLS", "CONNECTIONS")
	for _, l := range s.Listeners {
		line(l.Name, l.Address, yes(l.TLS), l.Connections)
	}
	line("")
	line("POOL", "TARGET", "STATE", "WEIGHT", "REQUESTS", "CONNECTIONS", "LAST ERROR")
	for _, p := range s.Pools {
		for _, m := range p.Targets {
			line(p.Name, m.Address, m.State, m.Weight, m.InFlight, m.Connections, m.LastError)
		}
		if len(p.Targets) == 0 {
			line(p.Name, "none", "", "", "", "", "")
		}
	}
	line("")
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d routes; penstock status --json shows everything\n", len(s.Routes))
	return err
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
