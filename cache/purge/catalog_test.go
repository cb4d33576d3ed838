package purge

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/penstock-edge/penstock/cache/store"
	"pgregory.net/rapid"
)

// TestCatalogAgainstTwin: what is stored is listed, under the latest URL and tags, once; what has gone leaves the list.
func TestCatalogAgainstTwin(t *testing.T) {
	type answer struct {
		url  uint64
		tags []uint64
	}
	rapid.Check(t, func(t *rapid.T) {
		var c Catalog
		twin, added := map[store.Key]answer{}, 0
		there := func(n *Node) bool {
			_, ok := twin[n.Key]
			return ok
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			var k store.Key
			k[0] = rapid.ByteRange(0, 30).Draw(t, "key")
			if rapid.IntRange(0, 3).Draw(t, "go") == 0 {
				delete(twin, k) // the store forgets
				continue
			}
			a := answer{rapid.Uint64Range(0, 5).Draw(t, "url"), rapid.SliceOfN(rapid.Uint64(), 0, 3).Draw(t, "tags")}
			hashes := binary.LittleEndian.AppendUint64(nil, a.url)
			for _, tag := range a.tags {
				hashes = binary.LittleEndian.AppendUint64(hashes, tag)
			}
			twin[k] = a
			c.Add(k, store.Key{1}, hashes, there)
			added++
			if len(c.nodes) > 2*31+1 {
				t.Fatalf("%d nodes for 31 keys", len(c.nodes))
			}
		}
		for url := range uint64(6) {
			got, want := []byte{}, []byte{}
			for _, n := range c.Of(url) {
				if there(&n) {
					got = append(got, n.Key[0])
				}
			}
			for k, a := range twin {
				if a.url == url {
					want = append(want, k[0])
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("URL %d: %v, want %v", url, got, want)
			}
		}
		for k, a := range twin {
			for _, tag := range append(a.tags, 0) {
				var bits []uint64
				if tag != 0 {
					bits = []uint64{TagBits(tag)}
				}
				n := 0
				c.All(bits, func(n1 *Node) {
					if n1.Key == k {
						n++
					}
				})
				if n != 1 {
					t.Fatalf("%v with tag %d is listed %d times", k[0], tag, n)
				}
			}
		}
		// When nothing comes any more but one, all that has gone is found out.
		clear(twin)
		twin[store.Key{}] = answer{}
		for range 64 {
			c.Add(store.Key{}, store.Key{}, make([]byte, 8), there)
		}
		if n := len(c.byKey); n != 1 || len(c.byURL) != 1 {
			t.Fatalf("%d keys and %d URLs are left", n, len(c.byURL))
		}
	})
}
