package operation

import (
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }
