// Package status is how /status shows pools.
package status

import (
	"time"

	"github.com/penstock-edge/penstock/pool/health"
	"github.com/penstock-edge/penstock/pool/order"
)

// Target is a target as /status shows it.
type Target struct {
	Address string        `json:"address"`
	State   string        `json:"state"` // healthy, unhealthy, ejected, broken or drained
	Since   time.Time     `json:"since"`
	Why     string        `json:"why,omitempty"` // of the last change
	Usable  bool          `json:"usable"`        // it may be chosen; in a panic all are
	Weight  int32         `json:"weight"`
	Set     *order.Status `json:"set,omitempty"` // by the admin API, in place of what the configuration says
	// DrainsUntil is until when a drained target serves clients that stick to it.
	DrainsUntil *time.Time       `json:"drains_until,omitempty"`
	Share       float64          `json:"share"` // of its weight that it gets: less than 1 in its slow start
	Backup      bool             `json:"backup"`
	Zone        string           `json:"zone,omitempty"`
	InFlight    int64            `json:"in_flight"`
	Connections int64            `json:"connections"`
	Waiting     int              `json:"waiting"` // requests that it serves when a connection is free
	EWMASeconds float64          `json:"ewma_seconds"`
	Ejections   int              `json:"ejections"`
	EjectedTill *time.Time       `json:"ejected_until,omitempty"`
	LastError   string           `json:"last_error,omitempty"` // of an attempt or a check
	LastErrorAt *time.Time       `json:"last_error_at,omitempty"`
	Health      *health.Snapshot `json:"health,omitempty"`
	Breaker     any              `json:"breaker,omitempty"`
	Resolved    []string         `json:"resolved,omitempty"`
}

// Pool is a pool as /status shows it.
type Pool struct {
	Name        string     `json:"name"`
	Balance     string     `json:"balance"`
	Proxy       string     `json:"proxy_protocol,omitempty"` // version of the header that targets get
	Usable      int        `json:"usable"`                   // targets that may be chosen
	Panic       bool       `json:"panic"`
	Waiting     int        `json:"waiting"` // requests for which no connection is free
	Targets     []Target   `json:"targets"`
	Breaker     any        `json:"breaker,omitempty"`
	Concurrency any        `json:"concurrency,omitempty"`
	Admission   any        `json:"admission,omitempty"`
	BudgetLeft  *int64     `json:"retry_budget_left,omitempty"`
	HedgeAfter  float64    `json:"hedge_after_seconds,omitempty"`
	Discovery   *Discovery `json:"discovery,omitempty"`
}

// Discovery is how discovery goes.
type Discovery struct {
	Source string    `json:"source"`
	At     time.Time `json:"last_answer"` // the zero time: none yet
	Error  string    `json:"error,omitempty"`
	// KeptAge is how old the targets are, in seconds, when they are those kept from before the start.
	KeptAge *float64 `json:"kept_age_seconds,omitempty"`
}
