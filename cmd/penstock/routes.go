package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/live"
)

type routesCmd struct {
	File string `arg:"" help:"The configuration." placeholder:"FILE"`
}

// Help implements kong.HelpProvider.
func (routesCmd) Help() string {
	return `The first route of the list whose conditions all hold takes a request. A route that never can,
because an earlier one takes all its requests, is marked.

Example:

  penstock routes configs/full.toml`
}

// Run prints the routing table.
func (k *routesCmd) Run(c *console) error {
	b, errs := load(k.File)
	if errs != nil {
		return complain(c, errs)
	}
	defer b.Close()
	printRoutes(c, b)
	return nil
}

func printRoutes(c *console, b *live.Built) {
	shadowed := make(map[int]string)
	for _, s := range b.Routes.Shadowed() {
		shadowed[s.Rule] = "never matches: shadowed by " + b.Plans[s.By].Name
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "#\tNAME\tHOSTS\tMETHODS\tPATH\tIF\tANSWER\tAPPLIES")
	for n, i := range b.Routes.Order() {
		r, p := &b.Config.Routes[i], b.Plans[i]
		answer, rest := answerOf(b, p)
		if s := shadowed[i]; s != "" {
			rest = append([]string{s}, rest...)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", n+1, p.Name, orAny(r.Hosts), orAny(r.Methods),
			pathOf(r), condition(r), answer, strings.Join(rest, "; "))
	}
	_ = w.Flush() // into memory
	for line := range strings.Lines(text.String()) {
		c.printf("%s\n", strings.TrimRight(line, " \n"))
	}
}

func orAny(list []string) string {
	if len(list) == 0 {
		return "any"
	}
	return strings.Join(list, ",")
}

func pathOf(r *config.Route) string {
	if r.Prefix != "" {
		return "prefix " + r.Prefix
	}
	return r.Path
}

// condition describes the predicates of a route, and its priority when it overrules the order.
func condition(r *config.Route) string {
	var all []string
	if r.Listeners != nil {
		all = append(all, "listener "+strings.Join(r.Listeners, ","))
	}
	if r.Schemes != nil {
		all = append(all, "scheme "+strings.Join(r.Schemes, ","))
	}
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		all = append(all, "header "+name+"="+r.Headers[name])
	}
	for _, name := range slices.Sorted(maps.Keys(r.Query)) {
		all = append(all, "query "+name+"="+r.Query[name])
	}
	if r.Priority != 0 {
		all = append(all, fmt.Sprintf("priority %d", r.Priority))
	}
	if all == nil {
		return "-"
	}
	return strings.Join(all, " ")
}

// answerOf parts a plan's notes into what answers and what else applies. Several notes of one key, such as
// the pools of a split, become one.
func answerOf(b *live.Built, p *edge.Plan) (answer string, rest []string) {
	answer = "-"
	last := ""
	for _, n := range p.Notes {
		line := n.Key + " " + n.Value
		switch {
		case n.Key == last && slices.Contains(b.Answers, n.Key):
			answer += ", " + n.Value
		case n.Key == last:
			rest[len(rest)-1] += ", " + n.Value
		case slices.Contains(b.Answers, n.Key):
			answer = line
		default:
			rest = append(rest, line)
		}
		last = n.Key
	}
	return answer, rest
}
