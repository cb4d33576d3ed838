// Package config reads a TOML file strictly: every mistake in it is reported, all in one go, with the line
// and column where it stands. The package knows the sections that every gateway has (server, admin, log,
// listener, route); all others are decoded by the packages they belong to, each from its own Table into
// a tagged struct:
//
//	f := config.Parse("penstock.toml", text, config.Options{})
//	var s struct {
//		Interval time.Duration `toml:"interval" default:"5s" min:"10ms"`
//	}
//	f.Root.Child("health").Decode(&s)
//	if err := f.Finish().Err(); err != nil { … }
//
// Nothing here is safe for concurrent use: a file is read by one goroutine.
package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/penstock-edge/penstock/edge/config/lex"
	"github.com/penstock-edge/penstock/edge/config/suggest"
	"github.com/penstock-edge/penstock/edge/lib/smallfile"
)

// Options are the sources of values outside a file that it may refer to.
type Options struct {
	Env      func(string) (string, bool)  // for ${NAME}; nil: os.LookupEnv
	ReadFile func(string) ([]byte, error) // for file:/path in secrets; nil: smallfile.Secret
}

// File is one configuration file: its tables, and the mistakes found in it so far.
type File struct {
	Name string // as it is shown in errors
	Root *Table // never nil; empty after a syntax error

	options Options
	lines   []int // byte offset of the start of each line
	errs    Errors
	// warnings are about what is allowed and may do harm.
	warnings Errors
	broken   bool  // a syntax error, or a step has panicked: nothing else is known, so nothing else is reported
	reading  *node // the table that was asked for something last; nil: none was
	plans    map[reflect.Type]*plan
	// expansions are what the file takes from variables and files of secrets, the longest first.
	expansions []expansion
}

// Parse reads text as TOML. It never returns nil: a syntax error is among the errors of Finish, and Root is
// then empty. The name is used in messages only.
func Parse(name string, text []byte, o Options) *File {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	if o.ReadFile == nil {
		o.ReadFile = smallfile.Secret
	}
	f := &File{Name: name, options: o, plans: make(map[reflect.Type]*plan)}
	s := string(text)
	body := s[byteOrderMark(s):]
	f.lines = lineStarts(body)
	values, at, msg := decode(s, body)
	if msg != "" {
		f.report(at, "", "", msg)
		f.broken = true
		f.Root = f.table(&node{kind: tableKind})
		return f
	}
	f.Root = f.table(&node{kind: tableKind})     // in case that a step below fails
	_ = f.Guard(func() { f.grow(body, values) }) // it is recorded
	return f
}

// grow makes the tree of the file.
func (f *File) grow(body string, values map[string]any) {
	root, clashes := scan(body)
	root.fill(values)
	for _, c := range clashes {
		line, _ := f.place(c.first.keyAt)
		f.report(c.at, c.first.path(), "", fmt.Sprintf("is already defined at line %d", line))
		c.first.bad = true
	}
	f.expand(root)
	f.Root = f.table(root)
}

// decode returns the values of the file, or the offset in body of its syntax error and what it is.
func decode(text, body string) (values map[string]any, at int, msg string) {
	if len(body) > maxFileBytes {
		return nil, 0, fmt.Sprintf("the file has %d bytes: at most %d are read", len(body), maxFileBytes)
	}
	if at, deep := lex.TooDeep(body); deep {
		return nil, at, fmt.Sprintf("more than %d lists, tables or parts of a key within each other", lex.MaxDepth)
	}
	defer func() {
		// The parser panics with its own "BUG" where its lexer has let something through.
		if r := recover(); r != nil {
			values, at, msg = nil, 0, "the file cannot be read as TOML"
		}
	}()
	_, err := toml.Decode(text, &values)
	if err == nil {
		return values, 0, ""
	}
	var syntax toml.ParseError
	if !errors.As(err, &syntax) {
		return nil, 0, "the file cannot be read as TOML: " + strings.TrimPrefix(err.Error(), "toml: ")
	}
	at = min(max(syntax.Position.Start, 0), len(body))
	return nil, at, explain(body, at, strings.TrimSuffix(syntax.Message, "."))
}

// byteOrderMark returns the length of the mark before the text: the parser skips it too, and counts after it.
func byteOrderMark(text string) int {
	switch {
	case strings.HasPrefix(text, "\xef\xbb\xbf"):
		return 3
	case strings.HasPrefix(text, "\xff\xfe"), strings.HasPrefix(text, "\xfe\xff"):
		return 2
	}
	return 0
}

func lineStarts(text string) []int {
	starts := make([]int, 1, 1+strings.Count(text, "\n"))
	for i := range len(text) {
		if text[i] == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// place returns the line and column of a byte offset, both from 1, columns in bytes.
func (f *File) place(at int) (line, col int) {
	line = sort.SearchInts(f.lines, at+1)
	return line, at - f.lines[line-1] + 1
}

func (f *File) report(at int, key, suggest, msg string) {
	if f.broken {
		return
	}
	line, col := f.place(at)
	f.errs = append(f.errs, Error{
		File: f.Name, Line: line, Col: col, Key: key, Message: f.Hide(msg), Suggest: f.Hide(suggest),
	})
}

// wrong reports a mistake in the value of n. Whatever else is wrong with it is then not reported.
func (f *File) wrong(n *node, suggest, msg string) {
	if n.bad {
		return
	}
	n.bad = true
	f.report(n.at, n.path(), suggest, msg)
}

// Finish returns everything that is wrong with the file, in the order of the places: what has been recorded
// so far and each key that nobody has claimed. It is nil when the file is good. Call it when all owners of
// sections have decoded them.
func (f *File) Finish() Errors {
	if f.broken {
		all := append(Errors(nil), f.errs...)
		all.sort()
		return all
	}
	recorded := len(f.errs)
	misspelt := make(map[string]bool)
	f.unclaimed(f.Root.node, misspelt)
	all := slices.DeleteFunc(append(Errors(nil), f.errs...), func(e Error) bool {
		return strings.HasPrefix(e.Message, isRequired) && misspelt[e.Key] // one mistake, one line
	})
	f.errs = f.errs[:recorded]
	all.sort()
	return all
}

// Warnings returns what is allowed in the file and may do harm, in the order of the places.
func (f *File) Warnings() Errors {
	all := append(Errors(nil), f.warnings...)
	all.sort()
	return all
}

// isRequired is the message for a key that must be there and is not.
const maxFileBytes = 64 << 20

const isRequired = "is required"

// unclaimed reports the unknown keys of all tables that have been asked for, and notes in misspelt what they
// were probably meant to be.
func (f *File) unclaimed(n *node, misspelt map[string]bool) {
	var known []string
	for _, kid := range n.kids {
		switch {
		case n.kind == listKind || kid.claimed:
			f.unclaimed(kid, misspelt)
		case n.table != nil:
			if known == nil {
				known = n.table.knownKeys()
			}
			meant := suggest.Nearest(kid.key, known)
			misspelt[joinKey(n.table.Path(), meant)] = meant != ""
			f.report(kid.keyAt, kid.path(), meant, "unknown key")
		}
	}
}
