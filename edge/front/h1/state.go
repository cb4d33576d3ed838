package h1

// state is the owner of a connection: only the owner uses its fields, but for those that say otherwise.
// Whoever becomes the owner enters the state. The README of edge/front draws the machine.
//
// The loop of the connection's socket owns it while it rests, and calls Ready, or Expired when the timer of
// the socket has run out. A loop runs a request as long as nobody has to be waited for; from there on a
// goroutine does. An exchange that is Pending leaves the state as it is: its owner is whoever calls Resume
// next, the loop or the timer of its upstream's socket.
type state uint8

const (
	resting  state = iota // the loop of its socket, which waits for a request
	looped                // that loop, which runs a request and must not wait
	moved                 // another loop, or a goroutine; likewise
	blocking              // the goroutine of the exchange, which may wait (Serve)
	tunnel                // the two goroutines of a tunnel
	closed                // nobody
	states
)

var stateNames = [states]string{"resting", "looped", "moved", "blocking", "tunnel", "closed"}

// next has, for each state, a bit for each one that may follow.
var next = [states]uint8{
	resting:  1<<looped | 1<<moved | 1<<blocking | 1<<closed,
	looped:   1<<looped | 1<<moved | 1<<resting | 1<<blocking | 1<<closed,
	moved:    1<<looped | 1<<moved | 1<<resting | 1<<blocking | 1<<closed,
	blocking: 1<<moved | 1<<resting | 1<<tunnel | 1<<closed,
	tunnel:   1<<blocking | 1<<closed,
}

// String returns the name of s.
func (s state) String() string { return stateNames[s] }

// enter makes the caller the owner that s names.
func (c *conn) enter(s state) {
	if next[c.state]&(1<<s) == 0 {
		panic("BUG: a connection goes from " + c.state.String() + " to " + s.String())
	}
	c.state = s
}
