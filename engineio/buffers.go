package engineio

import (
	"math/bits"
	"sync"
)

const (
	smallestBuffer = 12 // 4 KiB, as a power of two
	largestBuffer  = 20 // 1 MiB: a larger one is not kept
	readClass      = 16
	readBufferSize = 1 << readClass
)

// spares are a few buffers for those who read and write just now. They are not in a pool, which the collector empties:
// under load it runs hundreds of times a second.
var spares struct {
	mu   sync.Mutex
	list [][]byte
}

const maxSpares = 16

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
	if class == readClass {
		if b := takeSpare(); b != nil {
			return b
		}
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
	if len(b) == readBufferSize && keepSpare(b) {
		return
	}
	if class := bits.Len(uint(len(b) - 1)); len(b) == 1<<class && class >= smallestBuffer && class <= largestBuffer {
		p := sliceHeaders.Get().(*[]byte) //nolint:errcheck // the pool holds nothing else
		*p = b
		bufferPools[class].Put(p)
	}
}

func takeSpare() []byte {
	spares.mu.Lock()
	defer spares.mu.Unlock()
	n := len(spares.list)
	if n == 0 {
		return nil
	}
	b := spares.list[n-1]
	spares.list = spares.list[:n-1]
	return b
}

func keepSpare(b []byte) bool {
	spares.mu.Lock()
	defer spares.mu.Unlock()
	if len(spares.list) == maxSpares {
		return false
	}
	spares.list = append(spares.list, b)
	return true
}

// resizeBuffer returns another buffer, of at least size bytes, with the first n bytes of b, and takes b back.
func resizeBuffer(b []byte, n, size int) []byte {
	other := getBuffer(size)
	copy(other, b[:n])
	putBuffer(b)
	return other
}
