package answer

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-edge/penstock/edge"
	"github.com/penstock-edge/penstock/edge/route"
)

// rest is what stands for the rest of the path in a template.
const rest = "path..."

// piece is literal text of a path, or what a request puts in its place.
type piece struct {
	text  []byte
	param int // index of the match's parameter, or one of the constants below
}

const (
	isText = -1
	isRest = -2
)

// parsePath reads a path over the given parameters. The message is empty when all is well.
func parsePath(path string, names []string) (pieces []piece, message string) {
	var skeleton strings.Builder // the path with an x in every parameter's place
	for left := path; ; {
		literal, after, open := strings.Cut(left, "{")
		skeleton.WriteString(literal)
		if literal != "" {
			pieces = append(pieces, piece{[]byte(literal), isText})
		}
		if left = after; !open {
			break
		}
		name, after, closed := strings.Cut(left, "}")
		if left = after; !closed {
			return nil, "an opening brace without a closing one"
		}
		skeleton.WriteByte('x')
		param := slices.Index(names, name)
		if name == rest {
			param = isRest
		}
		if param == isText {
			return nil, unknown(name, names)
		}
		pieces = append(pieces, piece{nil, param})
	}
	if _, bad := route.Canonical(nil, []byte(skeleton.String())); bad != nil {
		return nil, bad.Reason
	}
	return pieces, ""
}

func unknown(name string, names []string) string {
	has := "its path has none"
	if len(names) > 0 {
		has = "its path has " + strings.Join(names, ", ")
	}
	return "the route has no parameter " + strconv.Quote(name) + ": " + has + "; {" + rest +
		"} is the rest of the path"
}

// appendPieces writes what pieces are for x, on a route whose prefix has cut bytes.
func appendPieces(dst []byte, pieces []piece, x *edge.Exchange, cut int) []byte {
	for i := range pieces {
		switch p := &pieces[i]; p.param {
		case isText:
			dst = append(dst, p.text...)
		case isRest:
			dst = append(dst, bytes.TrimLeft(x.Path[cut:], "/")...)
		default:
			dst = append(dst, x.Match.ParamAt(p.param)...)
		}
	}
	return dst
}

// params returns the names of a pattern's parameters in the order in which a match gives their values.
func params(path string) (names []string, ok bool) {
	if path == "" {
		return nil, true
	}
	t, bad := route.NewTable([]route.Rule{{Path: path}})
	if bad != nil {
		return nil, false
	}
	return t.Params(0), true
}
