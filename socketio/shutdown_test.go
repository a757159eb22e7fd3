package socketio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/eventlog"
)

func TestShutdown(t *testing.T) {
	s, url := start(t, nil)
	n := s.Of("/")
	log := make(chan string, 20)
	begun := make(chan struct{}, 2)
	n.On("work", func(e *Event) error {
		begun <- struct{}{}
		time.Sleep(50 * time.Millisecond)
		return e.Ack("done")
	})
	n.On("wait", func(e *Event) error {
		begun <- struct{}{}
		<-e.Socket.Context().Done()
		log <- "told"
		return e.Socket.Context().Err()
	})
	n.OnDisconnect(func(_ *Socket, reason string) { log <- reason })
	worker, waiter, idle := dial(t, url), dial(t, url), dial(t, url)
	id := worker.join("/")
	waiter.join("/")
	idle.join("/")
	worker.send(`21["work"]`)
	receive(t, begun, "work")
	worker.send(`22["work"]`)
	eventually(t, "the second waits", func() bool {
		socket := n.Socket(id)
		socket.mu.Lock()
		defer socket.mu.Unlock()
		return socket.head != nil
	})
	waiter.send(`2["wait"]`)
	receive(t, begun, "wait")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var reading sync.WaitGroup
	for _, c := range []*client{worker, waiter, idle} {
		reading.Go(func() {
			var got []string
			for _, m := range c.wantClosed() {
				got = append(got, m.text)
			}
			c.conn.Close()
			// What ran and what waited is finished. No DISCONNECT: a stock client would not come back.
			var want []string
			if c == worker {
				want = []string{`31["done"]`, `32["done"]`}
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	reading.Wait()
	counts := map[string]int{}
	for range 4 {
		counts[receive(t, log, "end")]++
	}
	if counts["told"] != 1 || counts[reasonServerShutdown] != 3 {
		t.Errorf("%v", counts)
	}
	if n.Len() != 0 || s.workers.Load() != 0 {
		t.Error("something is left")
	}
}

func TestShutdownGivesUp(t *testing.T) {
	s, url := start(t, nil)
	begun, release := make(chan struct{}), make(chan struct{})
	s.Of("/").On("hang", func(*Event) error { close(begun); <-release; return nil })
	c := dial(t, url)
	c.join("/")
	c.send(`2["hang"]`)
	receive(t, begun, "start")
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	c.wantClosed()
	close(release)
	eventually(t, "worker gone", func() bool { return s.workers.Load() == 0 })
}

// TestShutdownWhileClientsComeBack has clients claim their sessions while the server ends. They are recovered, or hear
// nothing and ask the next server; none is told that it can't be.
func TestShutdownWhileClientsComeBack(t *testing.T) {
	for _, skip := range []bool{false, true} {
		t.Run(fmt.Sprint("skip middlewares ", skip), func(t *testing.T) {
			asked, release := make(chan struct{}, 1), make(chan struct{})
			s, n, url, log := recoverable(t, nil, func(o *RecoveryOptions) {
				o.SkipMiddlewares = skip
				if skip {
					o.Log = heldLog{o.Log, asked, release}
				}
			})
			second := atomic.Bool{}
			n.Use(func(*Socket) error {
				if second.Load() {
					asked <- struct{}{}
					<-release
				}
				return nil
			})
			b := &comeback{t: t, url: url}
			b.connect()
			b.c.conn.Close()
			eventually(t, "it is gone", func() bool { return n.Len() == 0 })
			if err := n.To("all").Emit("missed"); err != nil {
				t.Fatal(err)
			}
			eventually(t, "its session is in the log alone", func() bool {
				n.mu.Lock()
				defer n.mu.Unlock()
				return len(n.outlet.flow.departed) == 0 && log.Head() == 1
			})
			second.Store(true)
			c := dial(t, url)
			c.send(fmt.Sprintf(`0{"pid":%q}`, b.pid))
			receive(t, asked, "the claim")
			ended := make(chan error, 1)
			go func() { ended <- s.Shutdown(context.Background()) }()
			<-s.ctx.Done()
			close(release)
			for _, m := range c.wantClosed() {
				if strings.HasPrefix(m.text, "0") && !strings.Contains(m.text, b.pid) || strings.HasPrefix(m.text, "4") {
					t.Errorf("told %s", m.text)
				}
			}
			c.conn.Close()
			if err := receive(t, ended, "the end"); err != nil {
				t.Error(err)
			}
		})
	}
}

// heldLog is a log in which looking a session up takes until release.
type heldLog struct {
	eventlog.Log
	asked   chan<- struct{}
	release <-chan struct{}
}

func (l heldLog) Get(ctx context.Context, key string) ([]byte, error) {
	l.asked <- struct{}{}
	<-l.release
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return l.Log.Get(ctx, key)
}
