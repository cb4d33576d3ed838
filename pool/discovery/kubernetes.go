package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-edge/penstock/edge/lib/chance"
	"github.com/penstock-edge/penstock/edge/lib/smallfile"
)

const (
	slicesPerPage = 500
	maxSlices     = 10000
	// watchTime is the least that a watch is asked to last. It is up to twice as long, so that many do not end
	// in step.
	watchTime = 5 * time.Minute
)

// kubeSource lists the EndpointSlices of a service, and watches them from there on.
type kubeSource struct {
	origin
	Kubernetes
	base string // scheme and authority
}

func (s *kubeSource) String() string {
	text := "kubernetes " + s.Namespace + "/" + s.Service
	if s.Port != "" {
		text += ":" + s.Port
	}
	text += " at " + s.base
	if s.Zone != "" {
		text += ", zone " + s.Zone
	}
	return text
}

func (s *kubeSource) Run(ctx context.Context, tell func([]Endpoint, error)) {
	w := &kubeWatch{kubeSource: s, caller: &caller{}}
	if strings.HasPrefix(s.base, "https:") {
		w.caller.ca = s.CAFile
	}
	defer w.caller.close()
	run(ctx, &teller{tell: tell, origin: &s.origin}, w.session)
}

// kubeWatch is the state of one Run.
type kubeWatch struct {
	*kubeSource
	caller *caller

	slices  map[string]kubeSlice // by name
	version string               // of the newest change seen; "": list before watching
}

// session lists if need be, and holds one watch. A watch that ends, or is cut off, is taken up again by the
// next session from where it was.
func (w *kubeWatch) session(ctx context.Context, t *teller) error {
	if w.version == "" {
		if err := w.list(ctx); err != nil {
			return fmt.Errorf("cannot list the endpoint slices: %w", err)
		}
		t.watched(ctx, w.targets())
	}
	if err := w.watch(ctx, t); err != nil {
		return fmt.Errorf("cannot watch the endpoint slices: %w", err)
	}
	return nil
}

// request returns one with the token as it is now in its file. The token is not sent in the clear.
func (w *kubeWatch) request(q url.Values) (*http.Request, error) {
	q.Set("labelSelector", "kubernetes.io/service-name="+w.Service)
	u := w.base + "/apis/discovery.k8s.io/v1/namespaces/" + url.PathEscape(w.Namespace) +
		"/endpointslices?" + q.Encode()
	req, err := http.NewRequest(http.MethodGet, u, nil)
	if err != nil || req.URL.Scheme != "https" || w.TokenFile == "" {
		return req, err
	}
	content, err := smallfile.Read(w.TokenFile, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("cannot read the token: %w", err)
	}
	token := strings.TrimSpace(string(content))
	w.caller.secrets = []string{token}
	req.Header.Set("Authorization", "Bearer "+token)
	return req, nil
}

// list replaces all that is known by what the server has now.
func (w *kubeWatch) list(ctx context.Context) error {
	all := map[string]kubeSlice{}
	more := ""
	for {
		q := url.Values{"limit": {strconv.Itoa(slicesPerPage)}}
		if more != "" {
			q.Set("continue", more)
		}
		req, err := w.request(q)
		if err != nil {
			return err
		}
		var page kubeList
		if _, err := w.caller.call(ctx, callTimeout, req, &page); err != nil {
			return err // 410: the pages behind are of a version that is gone; the next session begins anew
		}
		for i := range page.Items {
			all[page.Items[i].Metadata.Name] = page.Items[i]
		}
		switch more = page.Metadata.Continue; {
		case len(all) > maxSlices:
			return fmt.Errorf("there are more than %d", maxSlices)
		case more != "":
		case page.Metadata.ResourceVersion == "":
			return errors.New("the list has no resourceVersion")
		default:
			w.slices, w.version = all, page.Metadata.ResourceVersion
			return nil
		}
	}
}

// watch follows the changes from version on. It returns nil when the watch has ended or was cut off, and when
// version is too old to go on from; that is "" then.
func (w *kubeWatch) watch(ctx context.Context, t *teller) error {
	lasts := watchTime + chance.Duration(watchTime)
	ctx, cancel := context.WithTimeout(ctx, lasts+callTimeout)
	defer cancel()
	req, err := w.request(url.Values{
		"watch": {"1"}, "resourceVersion": {w.version}, "allowWatchBookmarks": {"true"},
		"timeoutSeconds": {strconv.Itoa(int(lasts.Seconds()))},
	})
	if err != nil {
		return err
	}
	resp, err := openStream(w.caller, req.WithContext(ctx))
	if isStatus(err, http.StatusGone) {
		w.version = ""
		return nil
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	t.answered()
	events := newStream(resp.Body)
	for {
		var e kubeEvent
		if err := events.next(&e); err != nil {
			if !events.ended(err) {
				w.version = "" // the event that cannot be read would only come again
				return err
			}
			return nil
		}
		changed, err := w.apply(&e)
		if err != nil || w.version == "" {
			return err
		}
		if changed {
			t.watched(ctx, w.targets())
		}
	}
}

// apply takes over one event, and reports whether it can have changed the targets.
func (w *kubeWatch) apply(e *kubeEvent) (changed bool, err error) {
	if e.Type == "ERROR" {
		var status kubeStatus
		_ = json.Unmarshal(e.Object, &status) // what it does not say stays empty
		w.version = ""
		if status.Code == http.StatusGone || status.Reason == "Expired" {
			return false, nil
		}
		return false, fmt.Errorf("status %d: %s", status.Code, w.caller.short(status.Message))
	}
	var s kubeSlice
	if err := json.Unmarshal(e.Object, &s); err != nil {
		w.version = ""
		return false, fmt.Errorf("cannot read an event: %w", err)
	}
	if s.Metadata.ResourceVersion != "" {
		w.version = s.Metadata.ResourceVersion
	}
	switch e.Type {
	case "ADDED", "MODIFIED":
		w.slices[s.Metadata.Name] = s
		if len(w.slices) > maxSlices {
			w.version = ""
			return false, fmt.Errorf("there are more than %d", maxSlices)
		}
	case "DELETED":
		delete(w.slices, s.Metadata.Name)
	default: // BOOKMARK is the version alone; of other types nothing is known
		return false, nil
	}
	return true, nil
}

func (w *kubeWatch) targets() *answer {
	all := make([]kubeSlice, 0, len(w.slices))
	for _, s := range w.slices {
		all = append(all, s)
	}
	return targetsOfSlices(all, w.Port, w.Zone)
}
