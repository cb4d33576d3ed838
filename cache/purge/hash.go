package purge

import (
	"encoding/binary"
	"github.com/zeebo/xxh3"
)

// AppendHashes appends the hashes of a URL and of tags, by which purges find them.
func AppendHashes(dst, url []byte, tags [][]byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, HashURL(url))
	for _, t := range tags {
		dst = binary.LittleEndian.AppendUint64(dst, HashTag(t))
	}
	return dst
}

// HashURL returns the hash of a URL in the form of keys.
func HashURL(url []byte) uint64 { return xxh3.HashSeed(url, 1) }

// HashTag returns the hash of a tag.
func HashTag(tag []byte) uint64 { return xxh3.HashSeed(tag, 2) }

// HashAt returns the hash that b begins with.
func HashAt(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
