package e2e

import (
	"fmt"
	"os"
	"testing"

	"github.com/penstock-edge/penstock/bench/storm"
)

// OriginEnv makes the test binary an origin: its value is the address to listen on.
const OriginEnv = "PENSTOCK_E2E_ORIGIN"

// originMain serves as an origin process until it is killed.
func originMain(addr string) {
	fmt.Fprintln(os.Stderr, storm.Serve(addr))
	os.Exit(1)
}

// Pour starts a steady flood of requests, which ends with the test at the latest.
func Pour(t testing.TB, addr string, rate float64, workers int, change ...func(*storm.Options)) *storm.Flood {
	opt := storm.Options{Addr: addr, Rate: storm.Steady(rate), Workers: workers}
	for _, c := range change {
		c(&opt)
	}
	s := storm.Pour(opt)
	t.Cleanup(func() { s.Stop() })
	return s
}
