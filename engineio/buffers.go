package engineio

import (
	"math/bits"
	"sync"
)

const (
	smallestBuffer = 12 // 4 KiB, as a power of two
	largestBuffer  = 20 // 1 MiB: a larger one is not kept
	readBufferSize = 16 << 10
)

var bufferPools [largestBuffer + 1]sync.Pool

// getBuffer returns a buffer of at least size bytes, with its length at its capacity.
func getBuffer(size int) []byte {
	class := max(bits.Len(uint(size-1)), smallestBuffer)
	if class > largestBuffer {
		return make([]byte, size)
	}
	if b, ok := bufferPools[class].Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 1<<class)
}

// putBuffer takes back a buffer of getBuffer. Nobody may use it any more.
func putBuffer(b []byte) {
	b = b[:cap(b)]
	if class := bits.Len(uint(len(b) - 1)); len(b) == 1<<class && class >= smallestBuffer && class <= largestBuffer {
		bufferPools[class].Put(&b)
	}
}

// growBuffer returns a larger buffer with the first n bytes of b, and takes b back.
func growBuffer(b []byte, n, size int) []byte {
	larger := getBuffer(size)
	copy(larger, b[:n])
	putBuffer(b)
	return larger
}
