package queue

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/eventlog"
	"holdfast/eventlog/pebblelog"
)

// crashDirVar makes the test binary the child that TestKilled kills: the store's directory, and crashNextVar
// where its publishers go on.
const (
	crashDirVar  = "HOLDFAST_TEST_QUEUE_DIR"
	crashNextVar = "HOLDFAST_TEST_QUEUE_NEXT"

	crashPublishers = 8
	crashWorkers    = 8
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirVar); dir != "" {
		crashChild(dir, strings.Fields(os.Getenv(crashNextVar)))
		return
	}
	goleak.VerifyTestMain(m)
}

func openDisk(dir string, o Options) (*Manager, eventlog.Store, error) {
	store, err := pebblelog.Open(dir, pebblelog.Options{})
	if err != nil {
		return nil, nil, err
	}
	log, err := store.Open("queues", eventlog.Retention{})
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	m, err := Open(log, o)
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	return m, store, nil
}

// crashChild publishes and consumes without end, and says what it knows, line by line:
//
//	pub <id> <seq>                     the receipt came
//	got <group> <id> <seq> <attempt>   a worker has it
//	done <group> <id>                  its done is durable
func crashChild(dir string, next []string) {
	var mu sync.Mutex
	say := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	fail := func(err error) {
		say("error %v", err)
		os.Exit(1)
	}
	m, _, err := openDisk(dir, Options{Default: QueueOptions{AckTimeout: 200 * time.Millisecond, MinBackoff: 10 * time.Millisecond, MaxAttempts: 1000}})
	if err != nil {
		fail(err)
	}
	say("up")
	for w := range crashWorkers {
		group := fmt.Sprint("g", w%2)
		var open func()
		open = func() {
			_, err := m.Subscribe(context.Background(), "q", SubscribeOptions{
				Consumer: fmt.Sprint("w", w), Group: group, Prefetch: 1 + w*5,
			}, func(s *Subscription, d Delivery) {
				say("got %s %s %d %d", group, d.ID, d.Seq, d.Attempt)
				switch rand.N(30) {
				case 0: // it never answers
				case 1:
					s.Retry(d.Seq, rand.N(20*time.Millisecond), nil)
				case 2: // it goes, and another comes
					go func() { s.Close(); open() }()
				default:
					s.Done(d.Seq, func(err error) {
						if err != nil {
							fail(err)
						}
						say("done %s %s", group, d.ID)
					})
				}
			})
			if err != nil {
				fail(err)
			}
		}
		open()
	}
	var wg sync.WaitGroup
	for p, from := range next {
		n, err := strconv.Atoi(from)
		if err != nil {
			fail(err)
		}
		wg.Go(func() {
			for ; ; n++ {
				id := fmt.Sprintf("p%d-%d", p, n)
				msg := Message{Body: []byte(id), ID: id}
				if n%17 == 0 {
					msg.Delay = rand.N(30 * time.Millisecond)
				}
				r, err := m.Publish(context.Background(), "q", msg)
				if err != nil {
					fail(err)
				}
				say("pub %s %d", id, r.Seq)
				if rand.N(4) == 0 { // a publisher that didn't hear the first receipt
					if r, err := m.Publish(context.Background(), "q", msg); err != nil || !r.Duplicate {
						fail(fmt.Errorf("published %s again: %+v, %w", id, r, err))
					}
				}
				time.Sleep(rand.N(2 * time.Millisecond))
			}
		})
	}
	wg.Wait()
}

// TestKilled kills a process with publishers and workers in two groups, again and again at random moments:
// each group handles every message whose receipt came at least once, none after its done was durable, and
// each id is stored once.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	dir := t.TempDir()
	next := slices.Repeat([]string{"0"}, crashPublishers)
	seqs := make(map[string]string) // of an id
	groups := make(map[string]bool) // "<group> <id>" that was got
	done := make(map[string]bool)   // "<group> <id>" whose done is durable
	published := make(map[string]bool)
	read := func(line string) {
		f := strings.Fields(line)
		switch {
		case len(f) == 3 && f[0] == "pub":
			published[f[1]] = true
			p, n, _ := strings.Cut(f[1][1:], "-")
			i, _ := strconv.Atoi(p)
			k, _ := strconv.Atoi(n)
			next[i] = fmt.Sprint(k + 1)
			if f[2] != "0" {
				if old, ok := seqs[f[1]]; ok && old != f[2] {
					t.Errorf("%s was stored as %s and as %s", f[1], old, f[2])
				}
				seqs[f[1]] = f[2]
			}
		case len(f) == 5 && f[0] == "got":
			key := f[1] + " " + f[2]
			if done[key] {
				t.Errorf("%s came again after its done was durable", key)
			}
			groups[key] = true
			if old, ok := seqs[f[2]]; ok && old != f[3] {
				t.Errorf("%s was stored as %s and as %s", f[2], old, f[3])
			}
			seqs[f[2]] = f[3]
		case len(f) == 3 && f[0] == "done":
			done[f[1]+" "+f[2]] = true
		case len(f) == 1 && f[0] == "up":
		default:
			t.Fatalf("the child says %q", line)
		}
	}
	for range 12 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashDirVar+"="+dir, crashNextVar+"="+strings.Join(next, " "))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		for first := true; ; first = false {
			line, err := lines.ReadString('\n')
			if err != nil { // what comes without an end was not said
				if err != io.EOF {
					t.Error(err)
				}
				break
			}
			if first {
				time.AfterFunc(50*time.Millisecond+rand.N(400*time.Millisecond), func() { _ = cmd.Process.Kill() })
			}
			read(strings.TrimSpace(line))
		}
		_ = cmd.Wait()
	}

	// The rest is handled in this process.
	m, store, err := openDisk(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(m.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	}()
	var mu sync.Mutex
	for _, group := range []string{"g0", "g1"} {
		_, err := m.Subscribe(t.Context(), "q", SubscribeOptions{Consumer: "last", Group: group, Prefetch: 100}, func(s *Subscription, d Delivery) {
			mu.Lock()
			read(fmt.Sprintf("got %s %s %d %d", group, d.ID, d.Seq, d.Attempt))
			mu.Unlock()
			s.Done(d.Seq, nil)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		s, err := m.Stats("q")
		if err != nil {
			t.Fatal(err)
		}
		if s.Messages == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not handled in 60 s: %+v", s)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for id := range published {
		for _, group := range []string{"g0", "g1"} {
			if !groups[group+" "+id] {
				t.Errorf("group %s never got %s, whose receipt came", group, id)
			}
		}
	}
	bySeq := make(map[string]string)
	for id, seq := range seqs {
		if other, ok := bySeq[seq]; ok {
			t.Errorf("%s and %s are both message %s", id, other, seq)
		}
		bySeq[seq] = id
	}
	t.Logf("%d receipts, %d of two groups done before a kill", len(published), len(done))
}
