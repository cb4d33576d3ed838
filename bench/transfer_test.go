package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// gateway is the built binary in front of one origin.
type gateway struct {
	cmd  *exec.Cmd
	addr string
}

// startGateway starts the binary with a listener and a pool of one target, and a route with these keys.
func startGateway(b *testing.B, target string, keys ...string) *gateway {
	b.Helper()
	dir, bin := b.TempDir(), built(b, "cmd/penstock")
	g := &gateway{addr: freeAddr(b)}
	conf := fmt.Sprintf("[admin]\naddress = %q\n[log.access]\noutput = \"off\"\n"+
		"[[listener]]\naddress = %q\nmax_body_bytes = \"64GiB\"\n[pool.app]\ntargets = [%q]\n"+
		"[[route]]\nprefix = \"/\"\npool = \"app\"\n", freeAddr(b), g.addr, target) + strings.Join(keys, "\n")
	file := filepath.Join(dir, "penstock.toml")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		b.Fatal(err)
	}
	g.cmd = exec.Command(bin, "run", "--config", file)
	if err := g.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { g.cmd.Process.Kill(); g.cmd.Wait() })
	for start := time.Now(); ; {
		c, err := net.Dial("tcp", g.addr)
		if err == nil {
			c.Close()
			return g
		}
		if time.Since(start) > 20*time.Second {
			b.Fatal("the gateway does not listen:", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func freeAddr(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// resident returns a size line of /proc/PID/status in bytes: "VmRSS:" now, "VmHWM:" the highest so far.
func (g *gateway) resident(b *testing.B, line string) float64 {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(g.cmd.Process.Pid) + "/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := bytes.Cut(raw, []byte(line))
	f := bytes.Fields(rest)
	if len(f) == 0 {
		b.Fatal("no ", line, " in /proc")
	}
	kib, _ := strconv.ParseFloat(string(f[0]), 64) // the kernel writes numbers
	return kib * 1024
}

// bigBytes is how large one body is: PENSTOCK_BIG_BYTES, 1 GiB by default.
func bigBytes(b *testing.B) int64 {
	if s := os.Getenv("PENSTOCK_BIG_BYTES"); s != "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			b.Fatal("PENSTOCK_BIG_BYTES must be a number of bytes: ", err)
		}
		return n
	}
	return 1 << 30
}

// serveOrigin answers each request on each connection by what answer writes.
func serveOrigin(b *testing.B, answer func(head string, r *bufio.Reader, w net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReaderSize(c, 64<<10)
				for {
					var head strings.Builder
					for {
						line, err := r.ReadString('\n')
						if err != nil {
							return
						}
						head.WriteString(line)
						if line == "\r\n" {
							break
						}
					}
					answer(head.String(), r, c)
				}
			}()
		}
	}()
	return l.Addr().String()
}

var zeros = make([]byte, 256<<10)

func writeZeros(w io.Writer, n int64) error {
	for n > 0 {
		m, err := w.Write(zeros[:min(n, int64(len(zeros)))])
		if err != nil {
			return err
		}
		n -= int64(m)
	}
	return nil
}

// BenchmarkBigBody sends bodies of PENSTOCK_BIG_BYTES through the binary and reports how far its resident
// memory rose over what it was when idle, and the CPU time a MiB costs it.
func BenchmarkBigBody(b *testing.B) {
	size := bigBytes(b)
	b.Run("download", func(b *testing.B) {
		g := startGateway(b, serveOrigin(b, func(_ string, _ *bufio.Reader, w net.Conn) {
			fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
			_ = writeZeros(w, size) // a cut connection shows at the client
		}))
		g.transfer(b, size, "GET / HTTP/1.1\r\nHost: bench\r\n\r\n", 0)
	})
	b.Run("download chunked", func(b *testing.B) {
		g := startGateway(b, serveOrigin(b, func(_ string, _ *bufio.Reader, w net.Conn) {
			fmt.Fprint(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for left := size; left > 0; left -= int64(len(zeros)) {
				fmt.Fprintf(w, "%x\r\n", len(zeros))
				w.Write(zeros)
				fmt.Fprint(w, "\r\n")
			}
			fmt.Fprint(w, "0\r\n\r\n")
		}))
		g.transfer(b, size, "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n", 0)
	})
	b.Run("upload", func(b *testing.B) {
		g := startGateway(b, serveOrigin(b, func(_ string, r *bufio.Reader, w net.Conn) {
			io.CopyN(io.Discard, r, size)
			fmt.Fprint(w, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}))
		g.transfer(b, size, fmt.Sprintf("POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n", size), size)
	})
}

// transfer makes b.N exchanges: the head, then upload zeros; the answer is read to its end.
func (g *gateway) transfer(b *testing.B, size int64, head string, upload int64) {
	g.once(b, "", -1) // the first connection brings up what all share
	idle := g.resident(b, "VmRSS:")
	before := cpu(b, g.cmd.Process.Pid)
	b.SetBytes(size)
	b.ResetTimer()
	for range b.N {
		g.once(b, head, upload)
	}
	b.StopTimer()
	b.ReportMetric((g.resident(b, "VmHWM:")-idle)/(1<<20), "MiB-over-idle")
	b.ReportMetric((cpu(b, g.cmd.Process.Pid)-before)*1e9/float64(b.N)/float64(size>>20), "cpu-ns/MiB")
}

// once makes one exchange on a connection of its own; a negative upload only connects.
func (g *gateway) once(b *testing.B, head string, upload int64) {
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if upload < 0 {
		return
	}
	if _, err := io.WriteString(c, head); err != nil {
		b.Fatal(err)
	}
	if err := writeZeros(c, upload); err != nil {
		b.Fatal(err)
	}
	r := bufio.NewReaderSize(c, 256<<10)
	length := int64(-1)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			b.Fatal(err)
		}
		if n, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			length, _ = strconv.ParseInt(strings.TrimSpace(n), 10, 64) // the gateway writes numbers
		}
		if line == "\r\n" {
			break
		}
	}
	if length < 0 { // chunked, and the connection closes behind it
		io.Copy(io.Discard, r)
		return
	}
	if n, err := io.CopyN(io.Discard, r, length); err != nil {
		b.Fatalf("%d of %d bytes: %v", n, length, err)
	}
}

// BenchmarkSlowClients holds 1,000 clients that send a body a byte at a time, and reports what one costs.
func BenchmarkSlowClients(b *testing.B) {
	const clients = 1000
	g := startGateway(b, serveOrigin(b, func(_ string, r *bufio.Reader, w net.Conn) { io.Copy(io.Discard, r) }))
	idle := g.resident(b, "VmRSS:")
	for range b.N {
		conns := make([]net.Conn, 0, clients)
		for range clients {
			c, err := net.Dial("tcp", g.addr)
			if err != nil {
				b.Fatal(err)
			}
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: bench\r\nContent-Length: 1000000\r\n\r\n")
			conns = append(conns, c)
		}
		for range 20 {
			for _, c := range conns {
				c.Write([]byte("x"))
			}
		}
		b.ReportMetric((g.resident(b, "VmRSS:")-idle)/clients, "B/slow-conn")
		for _, c := range conns {
			c.Close()
		}
	}
}
