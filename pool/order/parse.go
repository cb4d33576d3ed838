package order

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/edge/lib/values"
	"github.com/penstock-edge/penstock/pool/section"
)

// Command is what a call of the admin API says of a target.
type Command struct {
	Verb   string // "drain", "undrain" or "weight"
	Weight int    // of "weight"
}

// Parse reads the end of the path of a call, "ADDRESS/VERB", and its query. An address may hold slashes.
// unknown: there is no such call; else why says what is wrong with it.
func Parse(rest string, query []byte) (address string, c Command, unknown bool, why string) {
	if plain, err := url.PathUnescape(rest); err == nil { // else a zone of IPv6 as the file has it
		rest = plain
	}
	if i := strings.LastIndexByte(rest, '/'); i >= 0 {
		address, c.Verb = rest[:i], rest[i+1:]
	}
	switch c.Verb {
	case "drain", "undrain":
		if len(query) > 0 {
			why = "/" + c.Verb + " takes no arguments\n"
		}
	case "weight":
		var ok bool
		if c.Weight, ok = readWeight(query); !ok {
			why = "want /weight?value=N with a whole number from 0 to 65535\n"
		}
	default:
		return "", c, true, "want /pools/{pool}/targets/{address}/drain, /undrain or /weight?value=N\n"
	}
	return address, c, false, why
}

// readWeight returns the one argument of a query, value.
func readWeight(query []byte) (weight int, ok bool) {
	args, err := values.Arguments(query)
	if err != nil || len(args) != 1 || args[0].Name != "value" {
		return 0, false
	}
	n, err := strconv.ParseUint(args[0].Value, 10, 16) // no sign, and no more than a target may have
	return int(n), err == nil
}

// Apply sets in o what c says of the target that is configured by spec.
func (c Command) Apply(o *Order, spec *section.Target) {
	if c.Verb == "weight" {
		o.Weight.Put(int32(c.Weight), spec.Weight)
	} else {
		o.Drain.Put(c.Verb == "drain", spec.Drain)
	}
}
