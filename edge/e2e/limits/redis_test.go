package limits

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/penstock-edge/penstock/edge/e2e"
)

// startSentinel watches a master. One is enough to decide.
func startSentinel(t testing.TB, master *e2e.RedisServer) *e2e.RedisServer {
	t.Helper()
	s := &e2e.RedisServer{T: t, Addr: e2e.FreeAddr(t), Dir: t.TempDir(), Log: &e2e.LockedBuffer{}}
	file := filepath.Join(s.Dir, "sentinel.conf")
	conf := "port " + s.Port() + "\nbind 127.0.0.1\ndir " + s.Dir + "\nsentinel monitor main 127.0.0.1 " + master.Port() + " 1\n" +
		"sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n"
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil { // the sentinel writes what it learns into it
		t.Fatal(err)
	}
	s.Cmd = exec.Command("redis-server", file, "--sentinel")
	s.Launch()
	t.Cleanup(s.Kill)
	return s
}
