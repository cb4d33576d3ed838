package discovery

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// What is read of the objects of Kubernetes. A pointer is nil where its absence means something.

type kubeMeta struct {
	Name            string `json:"name"`
	ResourceVersion string `json:"resourceVersion"`
	Continue        string `json:"continue"` // of a list: there are further pages
}

type kubeList struct {
	Metadata kubeMeta    `json:"metadata"`
	Items    []kubeSlice `json:"items"`
}

type kubeEvent struct {
	Type   string          `json:"type"`
	Object json.RawMessage `json:"object"`
}

type kubeStatus struct {
	Code    int    `json:"code"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// kubeSlice is an EndpointSlice of discovery.k8s.io/v1.
type kubeSlice struct {
	Metadata  kubeMeta       `json:"metadata"`
	Ports     []kubePort     `json:"ports"`
	Endpoints []kubeEndpoint `json:"endpoints"`
}

type kubePort struct {
	Name     string  `json:"name"`
	Port     *int64  `json:"port"`     // nil: all ports
	Protocol *string `json:"protocol"` // nil: TCP
}

// is reports whether p is the port with a name or, numeric, a number.
func (p *kubePort) is(name string, number int64, numeric bool) bool {
	if numeric {
		return *p.Port == number
	}
	return p.Name == name
}

func (p *kubePort) isTCP() bool { return p.Protocol == nil || *p.Protocol == "TCP" }

type kubeEndpoint struct {
	Addresses  []string `json:"addresses"` // of the same pod: the first is enough
	Conditions struct {
		Ready       *bool `json:"ready"`       // nil: yes
		Serving     *bool `json:"serving"`     // nil: as ready
		Terminating *bool `json:"terminating"` // nil: no
	} `json:"conditions"`
	Zone *string `json:"zone"`
}

func (e *kubeEndpoint) ready() bool { return e.Conditions.Ready == nil || *e.Conditions.Ready }

// leaving reports whether an endpoint still serves while it is brought down.
func (e *kubeEndpoint) leaving() bool {
	c := &e.Conditions
	return !e.ready() && c.Terminating != nil && *c.Terminating && c.Serving != nil && *c.Serving
}

// targetsOfSlices returns the endpoints that are ready. If none is, it returns those that are leaving and
// serve, as kube-proxy does: better than none.
func targetsOfSlices(all []kubeSlice, port, zone string) *answer {
	a := &answer{}
	for _, wanted := range []func(*kubeEndpoint) bool{(*kubeEndpoint).ready, (*kubeEndpoint).leaving} {
		for i := range all {
			all[i].addTo(a, port, zone, wanted)
		}
		if len(a.list) > 0 {
			break
		}
	}
	return a
}

func (s *kubeSlice) addTo(a *answer, port, zone string, wanted func(*kubeEndpoint) bool) {
	number, err := s.portNumber(port)
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		if len(e.Addresses) == 0 || !wanted(e) {
			continue
		}
		if err != nil {
			a.drop(err)
			continue
		}
		in := zone
		if e.Zone != nil && *e.Zone != "" {
			in = *e.Zone
		}
		address := net.JoinHostPort(e.Addresses[0], strconv.FormatInt(number, 10))
		a.add(Endpoint{Address: address, Weight: 1, Zone: in})
	}
}

// portNumber returns the port of the pods that port names, by name or number; "" is the only one there is. A
// number must be one that the service knows: a port of the service itself, taken for one of its pods, is so
// found out.
func (s *kubeSlice) portNumber(port string) (int64, error) {
	number, err := strconv.ParseInt(port, 10, 64)
	numeric := err == nil
	var fits, open []string
	var found int64
	for _, p := range s.Ports {
		switch {
		case !p.isTCP():
			continue
		case p.Port == nil && numeric:
			return number, nil
		case p.Port == nil:
			continue
		}
		text := p.Name + "=" + strconv.FormatInt(*p.Port, 10)
		open = append(open, text)
		if port == "" || p.is(port, number, numeric) {
			found = *p.Port
			fits = append(fits, text)
		}
	}
	switch {
	case len(fits) == 1, len(fits) > 1 && port != "":
		return found, nil
	case len(s.Ports) == 0 && numeric: // all ports
		return number, nil
	case len(fits) > 1:
		return 0, fmt.Errorf("the service has several ports, of which one must be named: %s", quote(list(fits)))
	}
	return 0, fmt.Errorf("the pods of the service have no TCP port %s, but %s", quote(port), quote(list(open)))
}

func list(texts []string) string {
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}
