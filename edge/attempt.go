package edge

// ask asks the upstream until one attempt succeeds or none may follow.
func ask(x *Exchange, _ Sender) Verdict {
	if g, ok := x.In.(Gatherer); ok {
		if x.Fault = g.Gather(); x.Fault != nil {
			return Answered
		}
	}
	for {
		if x.peer == nil && !pick(x) {
			return Answered
		}
		f := x.peer.RoundTrip(x)
		if f == nil {
			return runUp(x.Plan.filters[Receive], x)
		}
		if !retry(x, f) {
			return Answered
		}
	}
}

// hear is ask for the loop: what it would have to wait for ends it with pending or blocked.
func hear(x *Exchange, _ Sender) Verdict {
	if x.starter == nil && !launch(x) {
		if x.Fault != nil {
			return Answered
		}
		return blocked
	}
	done, f := x.starter.Hear(x)
	switch {
	case !done:
		return pending
	case f == nil:
		x.starter = nil
		return runUp(x.Plan.filters[Receive], x)
	case retry(x, f):
		return blocked // a fresh connection is needed
	}
	return Answered
}

// launch sends the request when it is all here and a peer can take it at once.
func launch(x *Exchange) bool {
	if x.In != nil {
		w, ok := x.In.(Whole)
		if !ok {
			return false
		}
		if _, ok = w.Whole(); !ok {
			return false
		}
	}
	if !pick(x) {
		return false
	}
	s, ok := x.peer.(Starter)
	if !ok || !s.Start(x) {
		return false
	}
	x.starter = s
	return true
}

// pick chooses the peer of the next attempt; false: x.Fault says why there is none.
func pick(x *Exchange) bool {
	peer, f := x.Plan.Upstream.Pick(x)
	if f != nil {
		x.Fault = f
		return false
	}
	x.Attempts++
	x.peer = peer
	return true
}

// retry ends an attempt that failed; false: f is the answer, else another attempt follows.
func retry(x *Exchange, f *Fault) bool {
	x.starter = nil
	x.letGo(f)
	if !again(x, f) {
		x.Fault = f
		return false
	}
	x.ResetHead()
	return true
}

// again tells whether another attempt may follow f. Only what is safe for every request is repeated: a reused
// connection that died before the first byte of the answer, once, on a fresh one.
func again(x *Exchange, f *Fault) bool {
	if f.Retry != RetryReused || x.Fresh || !x.Replayable() {
		return false
	}
	x.Fresh = true
	return true
}
