package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

const hidden = "[secret]"

// maxSecretBytes is far above any key or password: what is larger is the wrong file.
const maxSecretBytes = 1 << 20

// Secret is a string that is not shown by fmt, encoding/json or log/slog when it is in an exported field.
// In the file it may be written as "file:/path": it is then the content of that file, without the end of
// its last line.
type Secret struct {
	text string
}

// NewSecret returns a secret of the given text, taken as it is.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the text itself.
func (s Secret) Reveal() string { return s.text }

// String returns "[secret]", or "" when the secret is empty.
func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return hidden
}

// GoString returns what String does, for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText returns what String does.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (f *File) setSecret(n *node, into *Secret) {
	text, ok := n.value.(string)
	if !ok {
		// The value is not shown: it is probably the secret, only written badly.
		f.wrong(n, "", `must be a string, or "file:/path" for the content of a file`)
		return
	}
	path, isFile := strings.CutPrefix(text, "file:")
	if !isFile {
		into.text = text
		return
	}
	content, err := f.readSecret(path)
	if err != nil {
		f.wrong(n, "", err.Error())
		return
	}
	f.hide(content, text)
	into.text = content
}

func (f *File) readSecret(path string) (string, error) {
	if !strings.HasPrefix(path, "/") {
		return "", fmt.Errorf("the path of a secret's file must begin with /, is %q", path)
	}
	content, err := f.options.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read secret %q: %w", path, bareError(err))
	}
	if len(content) > maxSecretBytes {
		return "", fmt.Errorf("cannot read secret %q: it has more than %d bytes", path, maxSecretBytes)
	}
	text := strings.TrimSuffix(string(content), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}

// bareError takes the operation and the path off an error that is shown next to them.
func bareError(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
