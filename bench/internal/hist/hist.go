// Package hist records durations in a histogram of bounded relative error.
package hist

import (
	"math/bits"
	"time"
)

// Each power of two is split into subBuckets equal parts, so a value read back is at most 1/subBuckets
// (1.6 %) above the value recorded.
const (
	subBits    = 6
	subBuckets = 1 << subBits
	buckets    = (64 - subBits) * subBuckets
)

// Histogram counts durations by size. The zero value is empty and ready. It is not safe for concurrent use.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
}

// Record adds one duration. A negative one counts as zero.
func (h *Histogram) Record(d time.Duration) {
	h.counts[index(uint64(max(d, 0)))]++
	h.total++
}

// Count returns how many durations were recorded.
func (h *Histogram) Count() uint64 { return h.total }

// Reset empties the histogram.
func (h *Histogram) Reset() { *h = Histogram{} }

// Quantile returns the smallest bucket bound that at least the share q (0 to 1) of the recorded durations
// doesn't exceed, or 0 when nothing was recorded.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(q * float64(h.total))
	if float64(rank) < q*float64(h.total) {
		rank++
	}
	rank = min(max(rank, 1), h.total)
	var seen uint64
	for i, n := range h.counts {
		seen += n
		if seen >= rank {
			return time.Duration(upper(i))
		}
	}
	return 0
}

func index(v uint64) int {
	if v < subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	i := (shift+1)<<subBits + int(v>>shift) - subBuckets
	return min(i, buckets-1)
}

// upper is the largest value that index maps to i.
func upper(i int) uint64 {
	if i < subBuckets {
		return uint64(i)
	}
	shift := i>>subBits - 1
	return (uint64(i&(subBuckets-1)+subBuckets)+1)<<shift - 1
}
