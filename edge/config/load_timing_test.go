package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// bigFile has n routes of ten keys, and a tenth as many pools.
func bigFile(n int) []byte {
	var b strings.Builder
	b.WriteString("[[listener]]\naddress = \":8080\"\n")
	for i := range n / 10 {
		fmt.Fprintf(&b, "[pool.p%d]\ntargets = [\"10.0.%d.%d:80\"]\nconnect_timeout = \"1s\"\n", i, i/250, i%250)
	}
	for i := range n {
		fmt.Fprintf(&b, `[[route]]
name = "r%d"
hosts = ["h%d.example.com"]
methods = ["GET", "PUT"]
path = "/v1/users/%d/{id}"
headers = { "X-Beta" = "yes" }
pool = "p%d"
timeout = "10s"
priority = 1
`, i, i%1000, i, i/10)
	}
	return []byte(b.String())
}

func BenchmarkLoad10000Routes(b *testing.B) {
	text := bigFile(10000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		c := Load("x.toml", text, Options{})
		for _, pool := range c.File.Root.Children("pool") {
			pool.Value("targets")
			pool.Value("connect_timeout")
		}
		if errs := c.File.Finish(); errs != nil {
			b.Fatal(errs[0])
		}
	}
}

func BenchmarkParser10000Routes(b *testing.B) {
	text := string(bigFile(10000))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		decode(text, text)
	}
}

func BenchmarkScan10000Routes(b *testing.B) {
	text := string(bigFile(10000))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		scan(text)
	}
}

// BenchmarkDecode10000Routes decodes the keys of routes, and those of a feature that no route uses.
func BenchmarkDecode10000Routes(b *testing.B) {
	type unused struct {
		Timeout time.Duration     `toml:"upload_timeout" default:"30s" min:"1s"`
		Size    Size              `toml:"max_body_bytes" default:"64MiB"`
		On      bool              `toml:"on" default:"true"`
		Mode    string            `toml:"mode" default:"fast" enum:"fast|slow"`
		Names   []string          `toml:"names"`
		Labels  map[string]string `toml:"labels"`
	}
	tables := Parse("x.toml", bigFile(10000), Options{}).Root.List("route")
	b.ReportAllocs()
	for b.Loop() {
		for _, t := range tables {
			var r Route
			var u unused
			t.plans = t.plans[:0]
			t.Decode(&r)
			t.Decode(&u)
		}
	}
}
