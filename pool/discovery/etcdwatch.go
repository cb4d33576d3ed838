package discovery

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// etcdQuiet is how long a watch may say nothing. With progress_notify etcd speaks every ten minutes.
const etcdQuiet = 15 * time.Minute

// etcdMessage is one of the stream of a watch.
type etcdMessage struct {
	Result struct {
		Header    etcdHeader  `json:"header"`
		Created   bool        `json:"created"`
		Canceled  bool        `json:"canceled"`
		Compacted int64       `json:"compact_revision,string"` // not 0: older revisions are gone
		Reason    string      `json:"cancel_reason"`
		Events    []etcdEvent `json:"events"`
	} `json:"result"`
	Error *struct {
		Message string `json:"message"`
	} `json:"error"`
}

type etcdEvent struct {
	Type string  `json:"type"` // "" is PUT
	Key  etcdKey `json:"kv"`
}

// watch follows the changes after revision. It returns nil when the watch has ended or was cut off, and when
// revision cannot be gone on from; that is 0 then.
func (w *etcdWatch) watch(ctx context.Context, t *teller) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := time.AfterFunc(etcdQuiet, cancel)
	defer quiet.Stop()
	req, err := w.request("/v3/watch", map[string]any{"create_request": map[string]any{
		"key": []byte(w.Prefix), "range_end": behind(w.Prefix), "progress_notify": true,
		"start_revision": strconv.FormatInt(w.revision+1, 10)}})
	if err != nil {
		return err
	}
	resp, err := openStream(w.caller, req.WithContext(ctx))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	messages := newStream(resp.Body)
	for {
		var m etcdMessage
		if err := messages.next(&m); err != nil {
			if !messages.ended(err) {
				w.revision = 0
				return fmt.Errorf("cannot read a message of the watch: %w", err)
			}
			return nil
		}
		quiet.Reset(etcdQuiet)
		if err := w.apply(&m); err != nil || w.revision == 0 {
			return err
		}
		t.answered()
		if len(m.Result.Events) > 0 {
			t.watched(ctx, targetsOfKeys(w.values))
		}
	}
}

// apply takes over one message.
func (w *etcdWatch) apply(m *etcdMessage) error {
	r := &m.Result
	known := w.revision
	switch {
	case m.Error != nil:
		return errors.New(w.caller.short(m.Error.Message))
	case r.Compacted != 0:
		w.revision = 0
		return nil
	case r.Canceled:
		w.revision = 0
		return fmt.Errorf("the watch was refused: %s", w.caller.short(r.Reason))
	case r.Created && (r.Header.Revision < known || r.Header.Cluster != w.cluster):
		w.revision = 0 // another cluster, or an old copy of this one: its changes would be taken for known
		return nil
	}
	for _, e := range r.Events {
		key := string(e.Key.Key)
		if e.Type == "DELETE" {
			delete(w.values, key)
		} else {
			w.values[key] = e.Key.Value
		}
		w.revision = max(w.revision, e.Key.Modified)
	}
	if len(w.values) > MaxEndpoints {
		w.revision = 0
		return errTooManyKeys
	}
	if len(r.Events) == 0 && !r.Created {
		w.revision = max(w.revision, r.Header.Revision) // of progress: nothing up to there is still to come
	}
	return nil
}
