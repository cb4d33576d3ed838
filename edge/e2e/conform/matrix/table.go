// Package matrix prints the outcomes of conformance checks as tables of a document.
package matrix

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-edge/penstock/edge/e2e/conform"
)

// Failed returns how many rows of a level do not hold, and how many there are.
func Failed(outcomes []conform.Outcome, level string) (failed, all int) {
	for _, o := range outcomes {
		if o.Level != level {
			continue
		}
		all++
		if o.Err != nil {
			failed++
		}
	}
	return failed, all
}

// Table returns the outcomes as tables in Markdown: a line for each row with a column for each peer, and what
// holds of each level. All peers have run the same rows.
func Table(outcomes map[string][]conform.Outcome, peers []string) string {
	var b strings.Builder
	if len(peers) == 0 {
		return ""
	}
	line(&b, append([]string{"section", "level", "requirement"}, peers...)...)
	line(&b, slices.Repeat([]string{"---"}, 3+len(peers))...)
	for i, o := range outcomes[peers[0]] {
		cells := []string{o.RFC + " " + o.Section, o.Level, o.Requirement}
		for _, p := range peers {
			cells = append(cells, map[bool]string{true: "yes", false: "no"}[outcomes[p][i].Err == nil])
		}
		line(&b, cells...)
	}
	b.WriteByte('\n')
	line(&b, append([]string{"level", "rows"}, peers...)...)
	line(&b, append([]string{"---"}, slices.Repeat([]string{"--:"}, 1+len(peers))...)...)
	for _, level := range append(slices.Clone(conform.Levels), "all") {
		if cells := totals(outcomes, peers, level); cells != nil {
			line(&b, cells...)
		}
	}
	return b.String()
}

// totals returns the cells of a line of the second table; nil: no row has the level.
func totals(outcomes map[string][]conform.Outcome, peers []string, level string) []string {
	cells := []string{level, ""}
	for _, p := range peers {
		failed, all := Failed(outcomes[p], level)
		if level == "all" {
			failed, all = 0, 0
			for _, l := range conform.Levels {
				f, n := Failed(outcomes[p], l)
				failed, all = failed+f, all+n
			}
		}
		if all == 0 {
			return nil
		}
		cells[1] = fmt.Sprint(all)
		cells = append(cells, fmt.Sprint(all-failed))
	}
	return cells
}

// line writes a line of a table.
func line(b *strings.Builder, cells ...string) {
	for _, c := range cells {
		b.WriteString("| " + strings.ReplaceAll(c, "|", "\\|") + " ")
	}
	b.WriteString("|\n")
}

// The lines of a document between which a table stands.
const (
	tableBegin = "<!-- table -->\n"
	tableEnd   = "<!-- end of table -->\n"
)

// Replace puts a table in place of what stands between the two lines of a document that are for it. It is an
// error when they are not there, once each and in order.
func Replace(doc []byte, table string) ([]byte, error) {
	if bytes.Count(doc, []byte(tableBegin)) != 1 || bytes.Count(doc, []byte(tableEnd)) != 1 {
		return nil, errors.New("the document lacks a place for the table, or has more than one")
	}
	head, rest, _ := bytes.Cut(doc, []byte(tableBegin))
	_, tail, ok := bytes.Cut(rest, []byte(tableEnd))
	if !ok {
		return nil, errors.New("the document's place for the table ends before it begins")
	}
	return slices.Concat(head, []byte(tableBegin), []byte(table), []byte(tableEnd), tail), nil
}
