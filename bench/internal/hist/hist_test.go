package hist

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestQuantileStaysWithinItsError(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var h Histogram
	var all []time.Duration
	for range 20_000 {
		d := time.Duration(r.ExpFloat64() * float64(3*time.Millisecond))
		all = append(all, d)
		h.Record(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(int(q*float64(len(all)))-1, 0)]
		got := h.Quantile(q)
		if got < want || float64(got) > float64(want)*(1+1.0/subBuckets)+1 {
			t.Errorf("quantile %v: got %v, exact %v", q, got, want)
		}
	}
	if h.Count() != 20_000 {
		t.Errorf("count %d", h.Count())
	}
}

func TestEdges(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 {
		t.Error("an empty histogram has no quantile")
	}
	h.Record(-5)
	h.Record(1<<63 - 1)
	if h.Quantile(0.1) != 0 {
		t.Error("a negative duration counts as zero")
	}
	if h.Quantile(1) < 1<<62 {
		t.Errorf("largest value lost: %v", h.Quantile(1))
	}
	h.Reset()
	if h.Count() != 0 {
		t.Error("reset left something")
	}
}

func TestEveryBucketHoldsItsBound(t *testing.T) {
	for i := range buckets {
		if got := index(upper(i)); got != i {
			t.Fatalf("index(upper(%d)) = %d", i, got)
		}
	}
}
