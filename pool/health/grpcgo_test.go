package health

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const grpcGoMod = `module healthserver

go 1.26

require google.golang.org/grpc v1.85.0
`

// grpcGoMain says its address and serves: all in all and "up" well, "down" not; with "bare" it has no health
// service.
const grpcGoMain = `package main

import (
	"fmt"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func main() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s := grpc.NewServer()
	if os.Args[1] != "bare" {
		h := health.NewServer()
		h.SetServingStatus("up", grpc_health_v1.HealthCheckResponse_SERVING)
		h.SetServingStatus("down", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
		grpc_health_v1.RegisterHealthServer(s, h)
	}
	fmt.Println(l.Addr())
	panic(s.Serve(l))
}
`

// buildGRPCGo builds a server on grpc-go, a program of its own so that its modules stay out of ours.
func buildGRPCGo(t *testing.T) (program string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": grpcGoMod, "main.go": grpcGoMain} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, args := range [][]string{{"mod", "tidy"}, {"build", "-o", "server", "."}} {
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod -buildvcs=false", "GOWORK=off", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("cannot build a server on grpc-go: %v\n%s", err, out)
			}
			t.Skipf("a server on grpc-go cannot be built (the Go module proxy is needed once): %v", err)
		}
	}
	return filepath.Join(dir, "server")
}

func runGRPCGo(t *testing.T, program, mode string) (address string) {
	t.Helper()
	cmd := exec.Command(program, mode)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func TestGRPCGo(t *testing.T) {
	program := buildGRPCGo(t)
	whole, bare := runGRPCGo(t, program, "whole"), runGRPCGo(t, program, "bare")
	f := func(address, lines, want string) {
		t.Helper()
		h := NewChecker(good(t, "kind = 'grpc'\ntimeout = '5s'\n"+lines), Target{Address: address})
		for range 3 {
			wantError(t, lines, h.Check(t.Context()), want)
		}
	}
	f(whole, "", "")
	f(whole, "service = 'up'", "")
	f(whole, "service = 'down'", "grpc status NOT_SERVING")
	f(whole, "service = 'none'", "grpc error NOT_FOUND: the server does not know the service: ")
	f(whole, "headers = { Authorization = 'x', Binary-Bin = 'AAAA' }", "")
	f(bare, "", "grpc error UNIMPLEMENTED: the server has no health service")
}
