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

func HashURL(url []byte) uint64 { return xxh3.HashSeed(url, 1) }
func HashTag(tag []byte) uint64 { return xxh3.HashSeed(tag, 2) }

func HashAt(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
