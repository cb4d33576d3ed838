package route

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestReadme builds the README's routes and looks its requests up.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```toml\n")
	block, rest, _ := strings.Cut(block, "```")
	rules := readmeRules(t, block)
	table := mustTable(t, rules...)

	row := regexp.MustCompile("(?m)^\\| `([A-Z]+) ([^ `]+)(?: ([^`]+): ([^`]+))?` \\| (.*) \\|$")
	rows := row.FindAllStringSubmatch(rest, -1)
	if len(rules) < 9 || len(rows) < 13 {
		t.Fatalf("%d routes, %d requests", len(rules), len(rows))
	}
	for _, row := range rows {
		m := get(table, row[1], row[2], headerMap{row[3]: row[4]})
		got := "none"
		if m.Rule >= 0 {
			got = rules[m.Rule].Name
			for i, name := range table.Params(m.Rule) {
				got += " " + name + "=" + string(m.ParamAt(i))
			}
		}
		if got != row[5] {
			t.Errorf("%s: %s", row[0], got)
		}
	}
}

// readmeRules reads the little TOML that the README needs: all values but inline tables are JSON.
func readmeRules(t *testing.T, block string) (rules []Rule) {
	for line := range strings.Lines(block) {
		line = strings.TrimSpace(line)
		key, value, ok := strings.Cut(line, " = ")
		if line == "[[route]]" {
			rules = append(rules, Rule{})
		}
		if !ok {
			continue
		}
		r := &rules[len(rules)-1]
		into := map[string]any{
			"name": &r.Name, "hosts": &r.Hosts, "methods": &r.Methods, "path": &r.Path, "prefix": &r.Prefix,
			"priority": &r.Priority, "listeners": &r.Listeners, "schemes": &r.Schemes, "headers": &map[string]string{}, "query": &map[string]string{},
		}[key]
		if strings.HasPrefix(value, "{") {
			value = strings.ReplaceAll(value, " = ", ": ")
		}
		if err := json.Unmarshal([]byte(value), into); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if pairs, ok := into.(*map[string]string); ok {
			list := &r.Headers
			if key == "query" {
				list = &r.Query
			}
			for name, v := range *pairs {
				*list = append(*list, Predicate{name, v})
			}
			slices.SortFunc(*list, func(a, b Predicate) int { return strings.Compare(a.Name, b.Name) })
		}
	}
	return rules
}
