package queue

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

func benchManager(b *testing.B) *Manager {
	b.Helper()
	m, store, err := openDisk(b.TempDir(), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := m.Close(); err != nil {
			b.Error(err)
		}
		if err := store.Close(); err != nil {
			b.Error(err)
		}
	})
	return m
}

// BenchmarkPublish publishes bursts of 1000, with ids, durably.
func BenchmarkPublish(b *testing.B) {
	m := benchManager(b)
	body := make([]byte, 100)
	n := 0
	for b.Loop() {
		var wg sync.WaitGroup
		wg.Add(1000)
		for range 1000 {
			n++
			m.PublishAsync("q", Message{Body: body, ID: fmt.Sprint(n)}, func(_ Receipt, err error) {
				if err != nil {
					b.Error(err)
				}
				wg.Done()
			})
		}
		wg.Wait()
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
}

// BenchmarkRoundTrip publishes, delivers and is done with messages, durably, by four consumers of a group.
func BenchmarkRoundTrip(b *testing.B) {
	m := benchManager(b)
	var handled sync.WaitGroup
	for i := range 4 {
		_, err := m.Subscribe(b.Context(), "q", SubscribeOptions{Consumer: fmt.Sprint(i), Group: "g", Prefetch: 100}, func(s *Subscription, d Delivery) {
			s.Done(d.Seq, func(err error) {
				if err != nil {
					b.Error(err)
				}
				handled.Done()
			})
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	body := make([]byte, 100)
	n := 0
	start := time.Now()
	for b.Loop() {
		handled.Add(1000)
		for range 1000 {
			n++
			m.PublishAsync("q", Message{Body: body}, func(_ Receipt, err error) {
				if err != nil {
					b.Error(err)
				}
			})
		}
		handled.Wait()
	}
	b.ReportMetric(float64(n)/time.Since(start).Seconds(), "messages/s")
}
