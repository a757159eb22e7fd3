// Package test holds whole-server tests that need a client with a tight grip on its connection. Those that
// a stock client can do are under js/.
package test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/test/internal/harness"
)

const (
	sendBuffer = 64 << 10 // bytes that may wait for one client
	rate       = 20       // broadcasts a second
	size       = 1 << 10  // bytes of each

	// What a connection may cost besides its send buffer, and the server as a whole.
	perConnection = 24 << 10
	atAll         = 16 << 20
)

// crowd is a set of connections of which some never read.
type crowd struct {
	connections, deaf int
	seconds           int
}

type outcome struct {
	broadcasts int
	latencies  []time.Duration // of every delivery to those who read, ascending
	grown      int64           // heap and stacks at their largest, over what they were with nobody there
	closed     int             // deaf clients that the server gave up
}

func (o outcome) percentile(p float64) time.Duration {
	return o.latencies[int(p*float64(len(o.latencies)-1))]
}

// TestSlowReaders: clients that never read cost the others nothing and the server no more than their send buffers.
// The latencies are printed and not judged: see BenchmarkSlowReaders.
func TestSlowReaders(t *testing.T) {
	c := crowd{connections: number(t, "HOLDFAST_SLOW_CONNECTIONS", 500), seconds: number(t, "HOLDFAST_SLOW_SECONDS", 15)}
	c.deaf = c.connections / 10
	o := c.run(t)
	live := c.connections - c.deaf
	if want := live * o.broadcasts; len(o.latencies) != want {
		t.Errorf("%d of %d deliveries to those who read", len(o.latencies), want)
	}
	if o.closed != c.deaf {
		t.Errorf("%d of %d deaf clients were given up", o.closed, c.deaf)
	}
	if bound := int64(c.deaf)*sendBuffer + int64(c.connections)*perConnection + atAll; o.grown > bound {
		t.Errorf("memory grew by %d bytes, the bound is %d", o.grown, bound)
	}
	t.Logf("%d connections, %d of them deaf (%d given up), %d broadcasts: p50 %v, p99 %v, max %v; memory grew by %.1f MB",
		c.connections, c.deaf, o.closed, o.broadcasts, o.percentile(0.5), o.percentile(0.99), o.percentile(1), float64(o.grown)/(1<<20))
}

// BenchmarkSlowReaders is the bar: 1,000 connections, 100 of them deaf, 20 broadcasts of 1 KB a second for 30 s; p99
// under 100 ms. It wants a machine to itself and a server built without the race detector:
//
//	go test ./test -run '^$' -bench SlowReaders -benchtime 1x
func BenchmarkSlowReaders(b *testing.B) {
	for range b.N {
		o := crowd{connections: 1000, deaf: 100, seconds: 30}.run(b)
		b.ReportMetric(float64(o.percentile(0.5).Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(o.percentile(0.99).Microseconds())/1000, "p99-ms")
		b.ReportMetric(float64(o.percentile(1).Microseconds())/1000, "max-ms")
		b.ReportMetric(float64(o.grown)/(1<<20), "MB-grown")
		b.ReportMetric(float64(900*o.broadcasts-len(o.latencies)), "lost")
	}
}

func (c crowd) run(tb testing.TB) outcome {
	ctx := tb.Context()
	server := harness.StartTestServer(tb, "-send-buffer="+strconv.Itoa(sendBuffer))
	before, err := server.Stats(ctx)
	if err != nil {
		tb.Fatal(err)
	}

	readers := c.dial(ctx, tb, server, c.connections-c.deaf, harness.Dial)
	c.dial(ctx, tb, server, c.deaf, harness.DialDeaf)

	broadcasts := c.seconds * rate
	sent := make([]time.Time, broadcasts)
	var mu sync.Mutex
	var o outcome
	var reading sync.WaitGroup
	for _, client := range readers {
		reading.Go(func() {
			mine, err := receive(client, broadcasts, func(n int) time.Duration {
				mu.Lock()
				defer mu.Unlock()
				return time.Since(sent[n])
			})
			if err != nil {
				tb.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			o.latencies = append(o.latencies, mine...)
		})
	}

	ticks := time.NewTicker(time.Second / rate)
	defer ticks.Stop()
	for n := range broadcasts {
		<-ticks.C
		mu.Lock()
		sent[n] = time.Now()
		mu.Unlock()
		if err := server.Broadcast(ctx, "tick", size, n); err != nil {
			tb.Fatal(err)
		}
		if n%(2*rate) == rate {
			o.grown = max(o.grown, c.memory(ctx, tb, server)-before.HeapBytes)
		}
	}
	// Readers that miss something would wait for ever: the test server's end would end them, but say less.
	watchdog := time.AfterFunc(30*time.Second, func() {
		for _, client := range readers {
			client.Close()
		}
	})
	defer watchdog.Stop()
	reading.Wait()
	after, err := server.Stats(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	o.broadcasts = broadcasts
	o.closed = after.Reasons["send buffer full"]
	slices.Sort(o.latencies)
	return o
}

// dial connects count clients, which are closed when the test ends.
func (c crowd) dial(ctx context.Context, tb testing.TB, server *harness.TestServer, count int,
	dial func(context.Context, string) (*harness.Client, error),
) []*harness.Client {
	clients := make([]*harness.Client, count)
	errs := make([]error, count)
	slots := make(chan struct{}, 32)
	var dialing sync.WaitGroup
	for i := range clients {
		dialing.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			clients[i], errs[i] = dial(ctx, server.Addr)
		})
	}
	dialing.Wait()
	tb.Cleanup(func() {
		for _, client := range clients {
			if client != nil {
				client.Close()
			}
		}
	})
	if err := errors.Join(errs...); err != nil {
		tb.Fatal(err)
	}
	return clients
}

func (c crowd) memory(ctx context.Context, tb testing.TB, server *harness.TestServer) int64 {
	stats, err := server.Stats(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	return stats.HeapBytes
}

// receive reads count numbered broadcasts, which must come in order, and returns how long each took.
func receive(client *harness.Client, count int, since func(n int) time.Duration) ([]time.Duration, error) {
	latencies := make([]time.Duration, 0, count)
	for want := range count {
		packet, err := client.Receive()
		if err != nil {
			return latencies, fmt.Errorf("after %d broadcasts: %w", want, err)
		}
		text, ok := strings.CutPrefix(packet, `42["tick",`)
		n, err := strconv.Atoi(text[:max(0, strings.IndexByte(text, ','))])
		if !ok || err != nil || n != want {
			return latencies, errors.Join(fmt.Errorf("instead of broadcast %d: %.60q", want, packet), err)
		}
		latencies = append(latencies, since(n))
	}
	return latencies, nil
}

// number is a parameter from the environment.
func number(tb testing.TB, name string, fallback int) int {
	text := os.Getenv(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		tb.Fatalf("%s: want a positive number: %q", name, text)
	}
	return n
}
