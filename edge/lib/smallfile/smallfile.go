// Package smallfile reads files that somebody else writes, such as certificates and secrets: of a bounded
// size, and without waiting. A pipe that nobody writes to, or a device without an end, is an error.
package smallfile

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Sizes that files of a kind may have.
const (
	MostSecret = 1 << 20
	MostPEM    = 16 << 20 // certificates, keys and bundles of authorities
	MostList   = 64 << 20 // revocation lists, and lists of URLs
)

// Read returns the content of a regular file of at most so many bytes.
func Read(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // opening a pipe would wait for its other end
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is no regular file", path)
	}
	content, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(content)) > most {
		err = fmt.Errorf("%q has more than %d bytes", path, most)
	}
	return content, err
}

// Secret returns the content of a file that holds a secret.
func Secret(path string) ([]byte, error) { return Read(path, MostSecret) }
