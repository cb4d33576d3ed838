package load

import (
	"bytes"
	"errors"
)

var (
	errHead   = errors.New("bad-head")
	errChunk  = errors.New("bad-chunk")
	errLength = errors.New("bad-length")
)

// Answer reads HTTP/1.1 answers piece by piece, keeping nothing of them but what decides where they end.
type Answer struct {
	Status int  // of the answer that is being read
	Close  bool // the server will close the connection
	state  state
	left   int64 // bytes of the body or chunk
	chunks bool
	sized  bool
	kept   int  // bytes of line
	long   bool // the line has more than that
	line   [256]byte
}

type state uint8

const (
	statusLine state = iota
	headerLine
	body
	toTheEnd
	chunkSize
	chunkBody
	chunkTail
	trailer
)

// Reset makes it ready for the next answer.
func (a *Answer) Reset() {
	a.Status, a.Close, a.state, a.left = 0, false, statusLine, 0
	a.chunks, a.sized, a.kept, a.long = false, false, 0, false
}

// Feed reads p, and returns how much of it belongs to this answer and whether the answer ends there.
func (a *Answer) Feed(p []byte) (n int, done bool, err error) {
	for n < len(p) {
		switch a.state {
		case toTheEnd:
			return len(p), false, nil
		case body, chunkBody:
			take := min(a.left, int64(len(p)-n))
			n += int(take)
			if a.left -= take; a.left > 0 {
				return n, false, nil
			}
			if a.state == body {
				return n, true, nil
			}
			a.state = chunkTail
			continue
		}
		line, used, whole := a.cut(p[n:])
		if n += used; !whole {
			return n, false, nil
		}
		if done, err = a.parseLine(line); done || err != nil {
			return n, done, err
		}
	}
	return n, false, nil
}

// End reports whether an answer may end with the connection here.
func (a *Answer) End() bool { return a.state == toTheEnd }

// cut gives the next line without its end, however many pieces it comes in; of one that is longer than the
// buffer for pieces, the beginning.
func (a *Answer) cut(p []byte) (line []byte, used int, whole bool) {
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		a.keep(p)
		return nil, len(p), false
	}
	if line = p[:i]; a.kept > 0 {
		a.keep(line)
		line = a.line[:a.kept]
		a.kept = 0
	} else if a.long = len(line) > len(a.line); a.long {
		line = line[:len(a.line)]
	}
	if len(line) > 0 && line[len(line)-1] == '\r' {
		line = line[:len(line)-1]
	}
	return line, i + 1, true
}

func (a *Answer) keep(p []byte) {
	n := copy(a.line[a.kept:], p)
	a.long = a.kept > 0 && a.long || n < len(p)
	a.kept += n
}

func (a *Answer) parseChunkSize(line []byte) error {
	if i := bytes.IndexByte(line, ';'); i >= 0 {
		line = line[:i]
	} else if a.long {
		return errChunk
	}
	if a.left = number(bytes.TrimSpace(line), 16); a.left < 0 {
		return errChunk
	}
	a.state = chunkBody
	if a.left == 0 {
		a.state = trailer
	}
	return nil
}

func (a *Answer) parseLine(line []byte) (done bool, err error) {
	switch a.state {
	case statusLine:
		if len(line) < 12 || string(line[:7]) != "HTTP/1." || line[8] != ' ' {
			return false, errHead
		}
		status := number(line[9:12], 10)
		if status < 100 {
			return false, errHead
		}
		a.Status, a.state = int(status), headerLine
	case headerLine:
		if len(line) == 0 {
			return a.headEnd()
		}
		return false, a.header(line)
	case chunkSize:
		return false, a.parseChunkSize(line)
	case chunkTail:
		if len(line) > 0 {
			return false, errChunk
		}
		a.state = chunkSize
	case trailer:
		return len(line) == 0, nil
	}
	return false, nil
}

func (a *Answer) headEnd() (done bool, err error) {
	switch {
	case a.Status < 200:
		a.Reset()
	case a.Status == 204 || a.Status == 304:
		return true, nil
	case a.chunks:
		a.state = chunkSize
	case !a.sized:
		a.state, a.Close = toTheEnd, true
	case a.left == 0:
		return true, nil
	default:
		a.state = body
	}
	return false, nil
}

func (a *Answer) header(line []byte) error {
	switch line[0] | 0x20 { // most lines are none of these
	case 'c', 't':
	default:
		return nil
	}
	if v, ok := value(line, "content-length:"); ok {
		if a.left, a.sized = number(v, 10), true; a.left < 0 || a.long {
			return errLength
		}
	} else if v, ok := value(line, "transfer-encoding:"); ok {
		if a.chunks = bytes.EqualFold(v, []byte("chunked")); a.long {
			return errHead
		}
	} else if v, ok := value(line, "connection:"); ok {
		if a.Close = bytes.EqualFold(v, []byte("close")); a.long {
			return errHead
		}
	}
	return nil
}

// value gives what follows a name, which is in lower case and has the colon.
func value(line []byte, name string) ([]byte, bool) {
	if len(line) < len(name) {
		return nil, false
	}
	for i := range len(name) {
		c := line[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != name[i] {
			return nil, false
		}
	}
	return bytes.TrimSpace(line[len(name):]), true
}

// number reads a number without a sign, or gives -1.
func number(p []byte, base int64) int64 {
	if len(p) == 0 || len(p) > 15 {
		return -1
	}
	n := int64(0)
	for _, c := range p {
		d := int64(-1)
		switch {
		case c >= '0' && c <= '9':
			d = int64(c - '0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			d = int64(c|0x20-'a') + 10
		}
		if d < 0 || d >= base {
			return -1
		}
		n = n*base + d
	}
	return n
}
