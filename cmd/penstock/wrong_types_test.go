//go:build !race

package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/live"
)

// place is where a value of a file stands.
type place struct {
	key      string
	from, to int // of the value
}

// keyBefore is a key with its equals sign, bare or quoted.
var keyBefore = regexp.MustCompile(`(?m)(^|[{,] *)([A-Za-z0-9_-]+|"[^"\n]*") = `)

// places returns every value of a file, those in inline tables too.
func places(text string) (all []place) {
	for _, m := range keyBefore.FindAllStringSubmatchIndex(text, -1) {
		line := text[strings.LastIndexByte(text[:m[4]], '\n')+1 : m[4]]
		if !strings.Contains(line, "#") {
			all = append(all, place{text[m[4]:m[5]], m[1], m[1] + valueLength(text[m[1]:])})
		}
	}
	return all
}

// valueLength is how long the value is that text begins with.
func valueLength(text string) int {
	depth, quote := 0, byte(0)
	for i := range len(text) {
		c := text[i]
		switch {
		case quote != 0:
			if c == quote && text[i-1] != '\\' {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '[' || c == '{':
			depth++
		case (c == ']' || c == '}') && depth > 0:
			depth--
		case depth == 0 && (c == ',' || c == '\n' || c == '}' || c == ']' || c == ' ' || c == '#'):
			return i
		}
	}
	return len(text)
}

// strange are values of every type, and those at its ends.
var strange = []string{`"x"`, `""`, `"\u0000"`, `" "`, `"-1"`, `"99999999999999999999s"`, `0`, `-1`, `9223372036854775807`,
	`-9223372036854775808`, `1.5`, `-1e300`, `nan`, `inf`, `true`, `false`, `[]`, `[[]]`, `[1]`, `[""]`, `["x"]`, `["x", "x"]`,
	`[{}]`, `[{ a = 1 }]`, `{}`, `{ a = 1 }`, `{ a = "b" }`, `{ a = {} }`, `{ "" = "" }`, `2027-01-01T00:00:00Z`, `07:32:00`,
	`"` + strings.Repeat("x", 70_000) + `"`}

// Whatever the keys of the file hold, check ends with lines that say where. Some keys are wrong at a time, of
// different sections for the most part.
func TestEveryKeyOfEveryType(t *testing.T) {
	t.Setenv("PENSTOCK_HASH_SEED", "secret")
	text := smallFull(t)
	all := places(text)
	if len(all) < 300 {
		t.Fatalf("only %d values found", len(all))
	}
	const groups = 5
	for _, value := range strange {
		for group := range groups {
			changed, wrong := "", map[int]string{} // keys by line
			at := 0
			for i := group; i < len(all); i += groups {
				p := all[i]
				if p.from < at || value == text[p.from:p.to] {
					continue // within a value that was replaced
				}
				changed += text[at:p.from] + value
				at = p.to
				if wrongType(text[p.from:p.to], value) {
					wrong[1+strings.Count(changed, "\n")] = p.key
				}
			}
			for _, e := range mistakes(t, changed+text[at:]) {
				delete(wrong, e.Line)
			}
			for line, key := range wrong {
				t.Errorf("line %d: %s = %.40s is taken", line, key, value)
			}
		}
	}
}

// Sections that are no tables, likewise.
func TestEverySectionOfEveryType(t *testing.T) {
	t.Setenv("PENSTOCK_HASH_SEED", "secret")
	text := smallFull(t)
	sections := regexp.MustCompile(`(?m)^\[\[?([^\]]*)\]`).FindAllStringSubmatch(text, -1)
	if len(sections) < 30 {
		t.Fatalf("only %d sections found", len(sections))
	}
	for _, s := range sections {
		rest := regexp.MustCompile(`(?ms)^\[\[?` + regexp.QuoteMeta(s[1]) + `[.\]].*?(^\[|\z)`)
		without := text
		for rest.MatchString(without) {
			without = rest.ReplaceAllString(without, "$1")
		}
		for _, value := range strange {
			if errs := mistakes(t, s[1]+" = "+value+"\n"+without); len(errs) == 0 && value != "{}" && value != "[]" &&
				value != "[{}]" {
				t.Errorf("%s = %.40s is taken", s[1], value)
			}
		}
	}
}

// smallFull is configs/full.toml in which nothing is large: it is built thousands of times.
func smallFull(t *testing.T) string {
	t.Helper()
	small := strings.NewReplacer("/etc/penstock/tls", pki(t), `"256MiB" `, `"4MiB" `, `max_object = "8MiB"`,
		`max_object = "8KiB"`, "max_keys = 100000 ", "max_keys = 100 ", "disk_objects = 1_000_000", "disk_objects = 1_000",
	).Replace(fullText(t))
	return regexp.MustCompile(`(?m) +# .*$`).ReplaceAllString(small, "")
}

// mistakes checks a file. What is wrong with it has a place, and is nobody's panic.
func mistakes(t *testing.T, text string) config.Errors {
	t.Helper()
	b, err := live.Check("f.toml", []byte(text), dryFeatures())
	if err == nil {
		b.Close()
		return nil
	}
	var errs config.Errors
	if !errors.As(err, &errs) {
		t.Fatalf("no mistakes of the file: %s", err)
	}
	for _, e := range errs {
		if e.File != "f.toml" || e.Line < 1 || e.Col < 1 || e.Message == "" {
			t.Errorf("a mistake without a place: %+v", e)
		}
		if strings.Contains(e.Message, "makes the gateway fail") {
			t.Fatal(e)
		}
	}
	return errs
}

// wrongType reports whether value is of another type than the one that the key has in the example.
func wrongType(right, value string) bool {
	a, b := typeOf(right), typeOf(value)
	if a == b || a == "string" && b == "list" || a == "list" && b == "string" || a == "integer" && b == "float" {
		return false // keys that take both
	}
	return a != "table" && b != "table" || a == "string" && b == "integer"
}

func typeOf(value string) string {
	switch c := value[0]; {
	case c == '"':
		return "string"
	case c == '[':
		return "list"
	case c == '{':
		return "table"
	case value == "true", value == "false":
		return "boolean"
	case strings.ContainsAny(value, ":"):
		return "date"
	case strings.ContainsAny(value, ".ein"):
		return "float"
	}
	return "integer"
}

// FuzzCheck: no text makes the gateway fail.
func FuzzCheck(f *testing.F) {
	f.Add("[[listener]]\naddress = \":1\"\n[pool.a]\ntargets = [\"127.0.0.1:1\"]\n[[route]]\nprefix = \"/\"\npool = \"a\"\n")
	for _, key := range []string{"health", "outlier", "breaker", "retry", "hedge", "tls", "sticky", "discover", "fallback"} {
		f.Add(fmt.Sprintf("[pool.a]\ntargets = [\"127.0.0.1:1\"]\n[pool.a.%s]\nx = 1\n[[route]]\npath = \"/{a}\"\n", key))
	}
	f.Add("[rate_limit.l]\nrate = \"1/s\"\nanswer = {}\n[cache.c]\nsize = \"1MiB\"\nttl = { \"404\" = \"1s\" }\n")
	f.Add("[[route]]\nprefix = \"/\"\nrespond = { status = 200 }\n[route.mirror]\npool = 1\n[route.cache]\nname = \"c\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "/") && strings.Contains(text, "disk") {
			return // it would make folders
		}
		mistakes(t, text)
	})
}
