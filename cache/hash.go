package cache

import (
	"encoding/binary"
	"github.com/zeebo/xxh3"
)

// appendHashes appends the hashes of a URL and of tags, by which purges find them.
func appendHashes(dst, url []byte, tags [][]byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, hashURL(url))
	for _, t := range tags {
		dst = binary.LittleEndian.AppendUint64(dst, hashTag(t))
	}
	return dst
}

func hashURL(url []byte) uint64 { return xxh3.HashSeed(url, 1) }
func hashTag(tag []byte) uint64 { return xxh3.HashSeed(tag, 2) }

func hashAt(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }
