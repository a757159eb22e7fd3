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

var (
	bufferPools [largestBuffer + 1]sync.Pool // of *[]byte, by size

	// sliceHeaders keeps the pointers that the pools above hold buffers by, so that putting a buffer back
	// does not make a new one each time.
	sliceHeaders = sync.Pool{New: func() any { return new([]byte) }}
)

// getBuffer returns a buffer of at least size bytes, with its length at its capacity.
func getBuffer(size int) []byte {
	class := max(bits.Len(uint(size-1)), smallestBuffer)
	if class > largestBuffer {
		return make([]byte, size)
	}
	if p, ok := bufferPools[class].Get().(*[]byte); ok {
		b := *p
		*p = nil
		sliceHeaders.Put(p)
		return b
	}
	return make([]byte, 1<<class)
}

// putBuffer takes back a buffer of getBuffer. Nobody may use it any more.
func putBuffer(b []byte) {
	b = b[:cap(b)]
	if class := bits.Len(uint(len(b) - 1)); len(b) == 1<<class && class >= smallestBuffer && class <= largestBuffer {
		p := sliceHeaders.Get().(*[]byte) //nolint:errcheck // the pool holds nothing else
		*p = b
		bufferPools[class].Put(p)
	}
}

// growBuffer returns a larger buffer with the first n bytes of b, and takes b back.
func growBuffer(b []byte, n, size int) []byte {
	larger := getBuffer(size)
	copy(larger, b[:n])
	putBuffer(b)
	return larger
}
