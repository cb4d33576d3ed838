package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penstock-edge/penstock/edge/config"
	"github.com/penstock-edge/penstock/edge/live"
	"github.com/penstock-edge/penstock/edge/overload"
	"github.com/penstock-edge/penstock/pool/breaker"
	"github.com/penstock-edge/penstock/pool/discovery"
	"github.com/penstock-edge/penstock/pool/limit"
	"github.com/penstock-edge/penstock/pool/outlier"
	poolkeys "github.com/penstock-edge/penstock/pool/section"
	"github.com/penstock-edge/penstock/ratelimit/fleet"
)

const root = "../.."

// check builds text as a configuration, with its logs in a folder that is there.
func check(t *testing.T, name, text string) {
	t.Helper()
	text = strings.ReplaceAll(text, "/var/log/penstock", t.TempDir())
	b, err := live.Check(name, []byte(text), dryFeatures())
	if err != nil {
		t.Errorf("%s", err)
		return
	}
	b.Close()
}

// Each configuration that is shipped is good as it stands.
func TestConfigsAreGood(t *testing.T) {
	files, err := filepath.Glob(root + "/configs/*.toml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%d configurations: %v", len(files), err)
	}
	dir := pki(t)
	for _, file := range append(files, root+"/configs/systemd/penstock.toml") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		check(t, file, strings.ReplaceAll(string(text), "/etc/penstock/tls", dir))
	}
}

// So is each block of TOML in a Markdown file that is a whole configuration.
func TestReadmeExamplesAreGood(t *testing.T) {
	dir := pki(t)
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	blocks := regexp.MustCompile("(?ms)^```toml\n(.*?)^```")
	found := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "bin" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, m := range blocks.FindAllSubmatch(text, -1) {
			if block := string(m[1]); whole(block) {
				found++
				check(t, path+" block "+strconv.Itoa(i+1), strings.ReplaceAll(block, "/etc/penstock/tls", dir))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found == 0 {
		t.Error("no example found")
	}
}

// whole tells that a block is a configuration and not a part of one.
func whole(block string) bool {
	return strings.Contains(block, "[[listener]]") && strings.Contains(block, "[[route]]") &&
		(strings.Contains(block, "[pool.") || !strings.Contains(block, "pool = "))
}

// pki makes a directory with the files that examples name.
func pki(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "example.com"},
		DNSNames: []string{"example.com"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{
		"example.crt": {Type: "CERTIFICATE", Bytes: cert}, "site.crt": {Type: "CERTIFICATE", Bytes: cert},
		"ca.pem":      {Type: "CERTIFICATE", Bytes: cert},
		"example.key": {Type: "PRIVATE KEY", Bytes: private}, "site.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// fullText returns configs/full.toml with the keys in use that its first lines speak of.
func fullText(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(root + "/configs/full.toml")
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^#(\S)`).ReplaceAllString(string(text), "$1")
}

func TestFullConfigWithAllKeysInUse(t *testing.T) {
	t.Setenv("PENSTOCK_HASH_SEED", "secret")
	text := strings.ReplaceAll(fullText(t), "/etc/penstock/tls", pki(t))
	check(t, "full.toml", text)
	check(t, "full.toml", strings.ReplaceAll(text, "enabled = false", "enabled = true"))
}

// keysOf are the keys that a tagged struct takes.
func keysOf(of reflect.Type, into map[string]string) {
	for f := range of.Fields() {
		if key := f.Tag.Get("toml"); f.IsExported() && key != "" && key != "-" {
			into[key] = f.Tag.Get("default")
		}
	}
}

// configs/full.toml has every key that Penstock knows, in its section, with its default beside it.
func TestFullNamesEveryKey(t *testing.T) {
	text := fullText(t)
	f := func(section string, of reflect.Type) {
		t.Helper()
		keys := map[string]string{}
		keysOf(of, keys)
		for key, def := range keys {
			lines := linesOf(text, section, key)
			if len(lines) == 0 {
				t.Errorf("[%s] has no line for %s", section, key)
				continue
			}
			if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, def) }) {
				t.Errorf("[%s] %s does not name the default %q: %q", section, key, def, lines)
			}
		}
	}
	f("[server]", reflect.TypeFor[config.Server]())
	f("[admin]", reflect.TypeFor[config.Admin]())
	f("[log]", reflect.TypeFor[config.Log]())
	f("[overload]", reflect.TypeFor[overload.Config]())
	f("[[listener]]", reflect.TypeFor[config.Listener]())
	f("[[listener.certificate]]", reflect.TypeFor[config.Certificate]())
	f("[[route]]", reflect.TypeFor[config.Route]())
	f("[pool.users]", reflect.TypeFor[poolkeys.Config]())
	f("[pool.users.tls]", reflect.TypeFor[config.ClientTLS]())
	f("[pool.users.outlier]", reflect.TypeFor[outlier.Config]())
	f("[pool.users.breaker]", reflect.TypeFor[breaker.Config]())
	f("[pool.users.retry]", reflect.TypeFor[poolkeys.Retry]())
	f("[pool.users.hedge]", reflect.TypeFor[poolkeys.Hedge]())
	f("[pool.users.concurrency]", reflect.TypeFor[limit.Config]())
	f("[pool.users.admission]", reflect.TypeFor[limit.AdmissionConfig]())
	f("[pool.users.sticky]", reflect.TypeFor[poolkeys.Sticky]())
	f("[redis]", reflect.TypeFor[fleet.Config]())
	f("[redis.tls]", reflect.TypeFor[config.ClientTLS]())
	f("[pool.by-consul.discover.consul]", reflect.TypeFor[discovery.Consul]())
	f("[pool.by-kubernetes.discover.kubernetes]", reflect.TypeFor[discovery.Kubernetes]())
	f("[pool.by-etcd.discover.etcd]", reflect.TypeFor[discovery.Etcd]())

	for key, where := range sourceKeys(t) {
		if !regexp.MustCompile(`(?m)(^|[\[{,.] *|\[)"?` + regexp.QuoteMeta(key) + `"?( *=|[.\]])`).MatchString(text) {
			t.Errorf("%s: key %s is not in configs/full.toml", where, key)
		}
	}
}

// linesOf returns the lines of a section, and of its name as a part of others, that set key.
func linesOf(text, section, key string) (lines []string) {
	in := ""
	for line := range strings.Lines(text) {
		if name, _, _ := strings.Cut(line, " "); strings.HasPrefix(line, "[") {
			in = strings.TrimSpace(name)
			if inner := strings.Trim(in, "[]"); strings.HasPrefix(inner, strings.Trim(section, "[]")+"."+key) {
				lines = append(lines, line)
			}
		}
		if in == section && strings.HasPrefix(line, key+" ") {
			lines = append(lines, line)
		}
	}
	return lines
}

// sourceKeys returns the keys that the code knows, each with a place: those in struct tags and those asked for
// by name.
func sourceKeys(t *testing.T) map[string]string {
	t.Helper()
	keys := map[string]string{}
	files := token.NewFileSet()
	walk := func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if key := keyOf(n); key != "" {
				keys[key] = files.Position(n.Pos()).String()
			}
			return true
		})
		return nil
	}
	for _, dir := range []string{"edge", "pool", "ratelimit", "cache"} {
		if _, err := os.Stat(filepath.Join(root, dir)); err != nil {
			continue
		}
		if err := filepath.WalkDir(filepath.Join(root, dir), walk); err != nil {
			t.Fatal(err)
		}
	}
	if len(keys) < 50 {
		t.Fatalf("only %d keys found", len(keys))
	}
	return keys
}

// keyOf returns the key of a struct field's tag, or of t.Value("key") and its like.
func keyOf(n ast.Node) string {
	switch n := n.(type) {
	case *ast.Field:
		if n.Tag == nil {
			return ""
		}
		tag, _ := strconv.Unquote(n.Tag.Value)
		if key := reflect.StructTag(tag).Get("toml"); key != "-" {
			return key
		}
	case *ast.CallExpr:
		f, ok := n.Fun.(*ast.SelectorExpr)
		if !ok || len(n.Args) != 1 || !slices.Contains([]string{"Child", "Children", "List"}, f.Sel.Name) {
			return ""
		}
		if lit, ok := n.Args[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			key, _ := strconv.Unquote(lit.Value)
			return key
		}
	}
	return ""
}
