package clock

import "time"

// At turns a reading of Now, past or to come, into a time that carries the monotonic clock: what SetDeadline
// wants.
func At(now int64) time.Time { return base.Add(time.Duration(now)) }

// Of is the reverse of At.
func Of(t time.Time) int64 { return int64(t.Sub(base)) }
