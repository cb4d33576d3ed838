package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// upper reads itself: a string, which it turns to upper case.
type upper string

func (u *upper) UnmarshalConfig(v Value) error {
	text, ok := v.String()
	if !ok {
		return errors.New("must be a string in any case, is " + v.Describe())
	}
	*u = upper(strings.ToUpper(text))
	return nil
}

type embedded struct {
	Inner int `toml:"inner" default:"7"`
}

type sub struct {
	Path  string        `toml:"path" default:"/"`
	Every time.Duration `toml:"every" default:"5s"`
	Table *Table        `toml:"-"`
}

type everything struct {
	embedded
	Text     string            `toml:"text" default:"x"`
	Mode     string            `toml:"mode" default:"fast" enum:"fast|slow"`
	Modes    []string          `toml:"modes" enum:"fast|slow" default:"fast,slow"`
	Flag     bool              `toml:"flag" default:"true"`
	Int      int               `toml:"int" default:"5" min:"1" max:"9"`
	Small    int8              `toml:"small"`
	Port     uint16            `toml:"port"`
	Large    uint64            `toml:"large"`
	Share    float64           `toml:"share" default:"0.5" min:"0" max:"1"`
	Wait     time.Duration     `toml:"wait" default:"1s" min:"1ms" max:"1h"`
	Size     Size              `toml:"size" default:"64KiB" max:"1MiB"`
	Speed    ByteRate          `toml:"speed" default:"240B/s"`
	Rate     Rate              `toml:"rate" default:"10/s"`
	Secret   Secret            `toml:"secret"`
	Net      netip.Prefix      `toml:"net"`
	Addr     netip.Addr        `toml:"addr"`
	Pattern  *regexp.Regexp    `toml:"pattern"`
	Patterns []*regexp.Regexp  `toml:"patterns"`
	Upper    upper             `toml:"upper" default:"abc"`
	Uppers   []upper           `toml:"uppers"`
	Codes    []int             `toml:"codes" min:"100" max:"599"`
	Waits    []time.Duration   `toml:"waits" min:"1s"`
	Labels   map[string]string `toml:"labels"`
	Limits   map[string]Size   `toml:"limits"`
	Sub      *sub              `toml:"sub"`
	Always   sub               `toml:"always"`
	Subs     []sub             `toml:"subs"`
	SubPtrs  []*sub            `toml:"sub_ptrs"`
	Ignored  func()            `toml:"-"`
	hidden   int
}

func decodeAll(text string) (everything, *File) {
	file := Parse("x.toml", []byte(text), testOptions())
	var e everything
	file.Root.Decode(&e)
	return e, file
}

func TestDecodeDefaults(t *testing.T) {
	e, file := decodeAll("")
	if errs := file.Finish(); errs != nil {
		t.Fatal(errs)
	}
	e.Always.Table = nil
	want := everything{
		embedded: embedded{7}, Text: "x", Mode: "fast", Modes: []string{"fast", "slow"}, Flag: true, Int: 5,
		Share: 0.5, Wait: time.Second, Size: 64 << 10, Speed: 240, Rate: Rate{Count: 10, Per: time.Second}, Upper: "ABC",
		Always: sub{Path: "/", Every: 5 * time.Second},
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("got  %+v\nwant %+v", e, want)
	}
}

// What is wrong in a list or map is left out of it: its owner would take it for the user's.
func TestDecodeLeavesOut(t *testing.T) {
	e, file := decodeAll("labels = { a = 1, b = \"2\" }\nmodes = [\"fast\", 1, \"quick\", \"slow\"]\n" +
		"limits = { a = 1, b = \"2B\" }\ncodes = [99, 100]\n")
	if n := len(file.Finish()); n != 5 {
		t.Errorf("%d mistakes: %v", n, file.Finish())
	}
	if len(e.Labels) != 1 || e.Labels["b"] != "2" || !slices.Equal(e.Modes, []string{"fast", "slow"}) {
		t.Errorf("labels %v, modes %q", e.Labels, e.Modes)
	}
	if len(e.Limits) != 1 || e.Limits["b"] != 2 || !slices.Equal(e.Codes, []int{100}) {
		t.Errorf("limits %v, codes %v", e.Limits, e.Codes)
	}
}

func TestDecodeGood(t *testing.T) {
	f := func(text string, get func(e *everything) any, want any) {
		t.Helper()
		e, file := decodeAll(text)
		if errs := file.Finish(); errs != nil {
			t.Fatal(errs)
		}
		if got := get(&e); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	f("", func(e *everything) any { return e.hidden }, 0)
	f(`inner = 1`, func(e *everything) any { return e.Inner }, 1)
	f(`text = ""`, func(e *everything) any { return e.Text }, "")
	f(`text = "${PORT}"`, func(e *everything) any { return e.Text }, "8080")
	f(`mode = "slow"`, func(e *everything) any { return e.Mode }, "slow")
	f(`modes = []`, func(e *everything) any { return e.Modes }, []string{})
	f(`flag = false`, func(e *everything) any { return e.Flag }, false)
	f(`int = 9`, func(e *everything) any { return e.Int }, 9)
	f(`small = -128`, func(e *everything) any { return e.Small }, int8(-128))
	f(`port = 0xffff`, func(e *everything) any { return e.Port }, uint16(65535))
	f(`large = 9223372036854775807`, func(e *everything) any { return e.Large }, uint64(1<<63-1))
	f(`share = 1`, func(e *everything) any { return e.Share }, 1.0)
	f(`share = 0.25`, func(e *everything) any { return e.Share }, 0.25)
	f(`wait = "1h"`, func(e *everything) any { return e.Wait }, time.Hour)
	f(`size = "1MiB"`, func(e *everything) any { return e.Size }, Size(1<<20))
	f(`speed = "0"`, func(e *everything) any { return e.Speed }, ByteRate(0))
	f(`rate = "1000000/day"`, func(e *everything) any { return e.Rate }, Rate{Count: 1e6, Per: 24 * time.Hour})
	f(`secret = "a b"`, func(e *everything) any { return e.Secret.Reveal() }, "a b")
	f(`secret = "file:/key"`, func(e *everything) any { return e.Secret.Reveal() }, "s3cret")
	f(`secret = "file:/crlf"`, func(e *everything) any { return e.Secret.Reveal() }, "a\nb")
	f(`net = "::1"`, func(e *everything) any { return e.Net.String() }, "::1/128")
	f(`addr = "::1"`, func(e *everything) any { return e.Addr.String() }, "::1")
	f(`pattern = "^a$"`, func(e *everything) any { return e.Pattern.String() }, "^a$")
	f(`patterns = ["a", "b"]`, func(e *everything) any { return e.Patterns[1].String() }, "b")
	f(`upper = "x"`, func(e *everything) any { return e.Upper }, upper("X"))
	f(`uppers = ["x", "y"]`, func(e *everything) any { return e.Uppers }, []upper{"X", "Y"})
	f(`codes = [100, 599]`, func(e *everything) any { return e.Codes }, []int{100, 599})
	f(`labels = {a = "1", "b c" = "2"}`, func(e *everything) any { return e.Labels },
		map[string]string{"a": "1", "b c": "2"})
	f("[limits]\na = \"1KiB\"", func(e *everything) any { return e.Limits }, map[string]Size{"a": 1024})
	f(`sub.path = "/x"`, func(e *everything) any { return e.Sub.Path }, "/x")
	f(`[sub]`, func(e *everything) any { return e.Sub.Every }, 5*time.Second)
	f(`always = {every = "1s"}`, func(e *everything) any { return e.Always.Table.Path() }, "always")
	f("[[subs]]\n[[subs]]\npath = \"a\"", func(e *everything) any { return e.Subs[1].Path }, "a")
	f(`sub_ptrs = [{path = "a"}]`, func(e *everything) any { return e.SubPtrs[0].Table.Path() }, "sub_ptrs[1]")
}

func TestDecodeBad(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		e, file := decodeAll(text)
		if got := file.Finish().Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if e.Int != 5 || e.Wait != time.Second || e.Mode != "fast" {
			t.Errorf("a wrong value has replaced the default: %+v", e)
		}
	}
	f(`text = 1`, `x.toml:1:8: text: must be a string, is the integer 1`)
	f(`mode = "fsat"`, `x.toml:1:8: mode: must be "fast" or "slow", is "fsat" (did you mean "fast"?)`)
	f(`modes = ["slow", "x"]`, `x.toml:1:18: modes[2]: must be "fast" or "slow", is "x"`)
	f(`int = 0`, `x.toml:1:7: int: must be between 1 and 9, is 0`)
	f(`int = "5"`, `x.toml:1:7: int: must be a whole number, is the string "5"`)
	f(`small = 128`, `x.toml:1:9: small: must be between -128 and 127, is 128`)
	f(`port = 65536`, `x.toml:1:8: port: must be between 0 and 65535, is 65536`)
	f(`large = -1`, `x.toml:1:9: large: must be at least 0, is -1`)
	f(`share = 1.5`, `x.toml:1:9: share: must be between 0 and 1, is 1.5`)
	f(`share = nan`, `x.toml:1:9: share: must be a number, is the float NaN`)
	f(`wait = 250`, `x.toml:1:8: wait: must be `+wantDuration+`, is the integer 250`)
	f(`wait = "2h"`, `x.toml:1:8: wait: must be between 1ms and 1h, is "2h"`)
	f(`wait = "-1s"`, `x.toml:1:8: wait: must be `+wantDuration+`, is "-1s"`)
	f(`size = "2MiB"`, `x.toml:1:8: size: must be at most 1MiB, is "2MiB"`)
	f(`size = "64Kb"`, `x.toml:1:8: size: must be `+wantSize+`, is "64Kb"`)
	f(`rate = "0/s"`, `x.toml:1:8: rate: must be `+wantRate+`, is "0/s"`)
	f(`net = "10.0.0.1/8"`,
		`x.toml:1:7: net: 10.0.0.1/8 has bits beyond its length (did you mean "10.0.0.0/8"?)`)
	f(`addr = "10.0.0"`, `x.toml:1:8: addr: must be `+wantAddr+`, is "10.0.0"`)
	f(`pattern = "("`, "x.toml:1:11: pattern: must be a regular expression: missing closing ): `(`")
	f(`upper = true`, `x.toml:1:9: upper: must be a string in any case, is the boolean true`)
	f(`codes = [99, 100]`, `x.toml:1:10: codes[1]: must be between 100 and 599, is 99`)
	f(`waits = ["1ms"]`, `x.toml:1:10: waits[1]: must be at least 1s, is "1ms"`)
	f(`waits = "1s"`, `x.toml:1:9: waits: must be a list such as ["…", "…"], is the string "1s"`)
	f(`labels = {a = 1}`, `x.toml:1:15: labels.a: must be a string, is the integer 1`)
	f(`sub = 1`, `x.toml:1:7: sub: must be a table, is the integer 1`)
	f(`subs = [{}, 1]`, `x.toml:1:13: subs[2]: must be a table, is the integer 1`)
	f(`subs = {}`, `x.toml:1:8: subs: must be a list of tables: write [[subs]]`)
	f(`always.pth = "/"`, `x.toml:1:8: always.pth: unknown key (did you mean "path"?)`)
	f(`hidden = 1`, `x.toml:1:1: hidden: unknown key`)
	f(`text = "${GONE}"`, `x.toml:1:8: text: the environment variable GONE is not set`)
}

// A secret is never shown, whatever is wrong with it.
func TestSecretStaysHidden(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, file := decodeAll(text)
		if got := file.Finish().Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	f(`secret = 1234`, `x.toml:1:10: secret: must be a string, or "file:/path" for the content of a file`)
	f(`secret = "file:key"`, `x.toml:1:10: secret: the path of a secret's file must begin with /, is "key"`)
	f(`secret = "file:/gone"`, `x.toml:1:10: secret: cannot read secret "/gone": no such file`)
	e, _ := decodeAll(`secret = "hunter2"`)
	text, err := e.Secret.MarshalText()
	shown := fmt.Sprintf("%v %+v %#v %s %q %s %v", e.Secret, &e, e.Secret, e.Secret, e.Secret, text, err)
	if strings.Contains(shown, "hunter2") || !strings.Contains(shown, "[secret]") {
		t.Error(shown)
	}
	if s := NewSecret("").String(); s != "" {
		t.Error(s)
	}
}

func TestRequired(t *testing.T) {
	type target struct {
		Address string   `toml:"address" required:"true"`
		On      []string `toml:"on" required:"true"`
	}
	f := func(text, want string) {
		t.Helper()
		file := Parse("x.toml", []byte(text), testOptions())
		var v target
		file.Root.Child("t").Decode(&v)
		if got := file.Finish().Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	f("[t]\naddress = \"a\"\non = [\"b\"]", "")
	f("\n [t]", "x.toml:2:2: t.address: is required\nx.toml:2:2: t.on: is required")
	f("[t]\naddress = \"\"\non = []",
		"x.toml:2:11: t.address: must not be empty\nx.toml:3:6: t.on: must not be empty")
	f("[t]\naddress = \"${EMPTY}\"\non = [1]",
		"x.toml:2:11: t.address: must not be empty\nx.toml:3:7: t.on[1]: must be a string, is the integer 1")
}

// Tags nobody could decode by are mistakes in the program.
func TestBadTagsPanic(t *testing.T) {
	f := func(into any, text, want string) {
		t.Helper()
		defer func() {
			t.Helper()
			if got := fmt.Sprint(recover()); !strings.HasPrefix(got, "BUG: ") || !strings.Contains(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
		}()
		Parse("x.toml", []byte(text), testOptions()).Root.Decode(into)
	}
	f(everything{}, "", "takes a pointer to a struct")
	f(new(int), "", "takes a pointer to a struct")
	f(new(struct{ A int }), "", "no toml tag")
	f(new(struct {
		A time.Duration `toml:"a" default:"1"`
	}), "", "default")
	f(new(struct {
		A int `toml:"a" default:"x"`
	}), "", "default")
	f(new(struct {
		A int `toml:"a" default:"1" min:"2"`
	}), "", "must be at least 2")
	f(new(struct {
		A Size `toml:"a" min:"2"`
	}), `a = "5B"`, "bound")
	f(new(struct {
		A chan int `toml:"a"`
	}), `a = "5B"`, "chan int")
}
