package limit

// waiter is one request in a queue.
type waiter struct {
	done       chan Verdict // gets one
	class      Class
	since      int64       // clock nanoseconds
	gone       func() bool // its client has left
	prev, next *waiter
}

// queue is a list of waiters, the oldest first.
type queue struct{ first, last *waiter }

func (q *queue) push(w *waiter) {
	if w.prev = q.last; q.last != nil {
		q.last.next = w
	} else {
		q.first = w
	}
	q.last = w
}

func (q *queue) remove(w *waiter) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		q.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		q.last = w.prev
	}
	w.prev, w.next = nil, nil
}
