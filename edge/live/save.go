package live

import (
	"context"
	"slices"
	"sync"
)

// Save has the features of all generations write what they count, all at once. It returns when they have,
// or when ctx is done. The process is to end after that, whatever is still served.
func (l *Live) Save(ctx context.Context) {
	l.mu.Lock()
	alive := slices.Clone(l.alive)
	l.mu.Unlock()
	var saving sync.WaitGroup
	for _, r := range alive {
		for _, p := range r.built.instances {
			if p.Save != nil {
				saving.Go(p.Save)
			}
		}
	}
	done := make(chan struct{})
	go func() {
		saving.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
