package capacity

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/penstock-edge/penstock/bench/duel"
	"github.com/penstock-edge/penstock/bench/rig"
)

// Report is all that was found out about a configuration.
type Report struct {
	Command   string      `json:"command"`
	File      string      `json:"file"`
	Machine   rig.Machine `json:"machine"`
	Seconds   float64     `json:"seconds"` // of a block
	Pairs     int         `json:"pairs"`
	Chains    []Row       `json:"chains"`
	Omitted   int         `json:"omitted,omitempty"` // chains beyond the first
	Features  []Row       `json:"features"`
	Route     string      `json:"route"` // with which all that follows was measured
	Scaling   []Scaling   `json:"scaling"`
	Knee      duel.Knee   `json:"knee"`
	TLS       TLS         `json:"tls"`
	Memory    Memory      `json:"memory"`
	Statement Statement   `json:"statement"`
	Missing   []string    `json:"missing,omitempty"` // what could not be measured, and why
}

// Scaling is the throughput of connections on some cores, with the law that fits.
type Scaling struct {
	Cores   int    `json:"cores"`
	Shared  bool   `json:"shared"` // with loader and origin
	Points  []Load `json:"points"`
	Law     USL    `json:"law"`
	Missing string `json:"missing,omitempty"` // why there is no law
}

// TLS is what new connections over TLS 1.3 cost, without resumption. Times are nanoseconds.
type TLS struct {
	Reached   float64 `json:"reached"`   // handshakes a second, the loader's own limit included
	PerCore   float64 `json:"per_core"`  // as many as fill a core by their CPU time
	CPU       float64 `json:"cpu"`       // of a connection with one request
	Request   float64 `json:"request"`   // of a request over a connection that is kept
	Handshake float64 `json:"handshake"` // the difference, with opening and closing
	Busy      float64 `json:"busy"`
	Untrusted bool    `json:"untrusted,omitempty"`
}

// Idle is what an idle connection holds, in bytes.
type Idle struct {
	Process float64 `json:"process"`
	Kernel  float64 `json:"kernel"` // half of what the kernel's memory grew by: both ends are on this machine
}

// Memory is what connections cost, in bytes.
type Memory struct {
	Conns  int     `json:"conns"`
	Base   float64 `json:"base"` // of the gateway without connections
	Plain  Idle    `json:"plain"`
	TLS    Idle    `json:"tls"`
	Active float64 `json:"active"` // of the process, plain
}

// Write writes capacity.json and capacity.html into a directory.
func (r *Report) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	page, err := r.page()
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "capacity.json"), append(text, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, "capacity.html"), page, 0o644))
}
