package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish." placeholder:"SHELL"`
}

// Help implements kong.HelpProvider.
func (completionCmd) Help() string {
	return `Prints a script that completes commands, their flags and names of files.

Example:

  source <(penstock completion bash)`
}

// Run prints the script.
func (k *completionCmd) Run(c *console, app *kong.Kong) error {
	var commands []word
	flags := map[string][]word{}
	for _, n := range app.Model.Children {
		if n.Hidden {
			continue
		}
		commands = append(commands, word{n.Name, n.Help})
		for _, f := range n.Flags {
			if !f.Hidden {
				flags[n.Name] = append(flags[n.Name], word{"--" + f.Name, f.Help})
			}
		}
		flags[n.Name] = append(flags[n.Name], word{"--help", "Show help."})
	}
	c.printf("%s", map[string]func([]word, map[string][]word) string{
		"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion,
	}[k.Shell](commands, flags))
	return nil
}

// word is what may stand at a place of the command line.
type word struct{ text, help string }

func texts(words []word) string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = w.text
	}
	return strings.Join(all, " ")
}

func bashCompletion(commands []word, flags map[string][]word) string {
	var b strings.Builder
	b.WriteString("# bash completion of penstock\n_penstock() {\n\tlocal word=${COMP_WORDS[COMP_CWORD]}\n")
	fmt.Fprintf(&b, "\tif [ \"$COMP_CWORD\" = 1 ]; then\n"+
		"\t\tCOMPREPLY=($(compgen -W '%s --help --version' -- \"$word\"))\n"+
		"\t\treturn\n\tfi\n\tlocal flags=\n\tcase ${COMP_WORDS[1]} in\n", texts(commands))
	for _, c := range commands {
		fmt.Fprintf(&b, "\t%s) flags='%s' ;;\n", c.text, texts(flags[c.text]))
	}
	b.WriteString("\tesac\n\tcase $word in\n\t-*) COMPREPLY=($(compgen -W \"$flags\" -- \"$word\")) ;;\n" +
		"\t*) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n\tesac\n}\ncomplete -o filenames -F _penstock penstock\n")
	return b.String()
}

func zshCompletion(commands []word, flags map[string][]word) string {
	quote := func(w word) string {
		return "'" + strings.ReplaceAll(w.text+":"+strings.ReplaceAll(w.help, ":", " -"), "'", "'\\''") + "'"
	}
	var b strings.Builder
	b.WriteString("#compdef penstock\n_penstock() {\n\tlocal -a words_of\n" +
		"\tif (( CURRENT == 2 )); then\n\t\twords_of=(\n")
	for _, c := range commands {
		b.WriteString("\t\t\t" + quote(c) + "\n")
	}
	b.WriteString("\t\t)\n\t\t_describe command words_of\n\t\treturn\n\tfi\n\tcase $words[2] in\n")
	for _, c := range commands {
		b.WriteString("\t" + c.text + ")\n\t\twords_of=(\n")
		for _, f := range flags[c.text] {
			b.WriteString("\t\t\t" + quote(f) + "\n")
		}
		b.WriteString("\t\t) ;;\n")
	}
	b.WriteString("\tesac\n\t[[ $PREFIX = -* ]] && _describe flag words_of || _files\n}\n" +
		"compdef _penstock penstock\n")
	return b.String()
}

func fishCompletion(commands []word, flags map[string][]word) string {
	quote := func(s string) string {
		return "'" + strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), "'", `\'`) + "'"
	}
	var b strings.Builder
	b.WriteString("# fish completion of penstock\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "complete -c penstock -n __fish_use_subcommand -f -a %s -d %s\n", c.text, quote(c.help))
	}
	for _, c := range commands {
		for _, f := range flags[c.text] {
			fmt.Fprintf(&b, "complete -c penstock -n '__fish_seen_subcommand_from %s' -l %s -d %s\n", c.text,
				strings.TrimPrefix(f.text, "--"), quote(f.help))
		}
	}
	return b.String()
}
