package pebblelog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/eventlog"
)

// crashDirVar makes the test binary the child that TestKilled kills: it names the store's directory.
const crashDirVar = "HOLDFAST_TEST_CRASH_DIR"

// crashChild appends without end and prints every acknowledgement once it has it.
func crashChild(dir string) {
	s, err := Open(dir, Options{})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	l, err := s.Open("log", eventlog.Retention{MaxEvents: 20_000})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	acks := make(chan uint64, 1024)
	go func() {
		out := bufio.NewWriter(os.Stdout)
		for seq := range acks {
			fmt.Fprintln(out, "ack", seq)
			if len(acks) == 0 {
				_ = out.Flush()
			}
		}
	}()
	fmt.Println("epoch", l.Epoch())
	slots := make(chan struct{}, 200)
	for n := l.Head()/5 + 1; ; n++ {
		slots <- struct{}{}
		b := &eventlog.Batch{
			Put: []eventlog.KV{{Key: "batch", Value: []byte(strconv.FormatUint(n, 10))}},
			Done: func(first uint64, err error) {
				if err != nil || first != 5*(n-1)+1 {
					fmt.Println("error", n, first, err)
					os.Exit(1)
				}
				acks <- first + 4
				<-slots
			},
		}
		for i := range 5 {
			b.Records = append(b.Records, eventlog.Record{
				Rooms: []string{fmt.Sprint("r", i)},
				Data:  []byte(strings.Repeat(fmt.Sprint(n, " "), 1+int(n%50))),
			})
		}
		if err := l.Submit(b); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
	}
}

// TestKilled kills a process that appends, again and again at random moments, with SIGKILL: all that it
// acknowledged is there, and each batch as a whole or not at all.
func TestKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	dir := t.TempDir()
	epoch, acked := "", uint64(0)
	for round := range 12 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), crashDirVar+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		killed := make(chan struct{})
		lines := bufio.NewReader(out)
		for n := 0; ; n++ {
			line, err := lines.ReadString('\n')
			if errors.Is(err, io.EOF) {
				break // the child is dead and its pipe is read to the end
			}
			word, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch word {
			case "epoch":
				if epoch != "" && epoch != value {
					t.Errorf("epoch %s became %s", epoch, value)
				}
				epoch = value
				// From here on it can be killed at any moment: within an opening's first commits too.
				time.AfterFunc(rand.N(250*time.Millisecond), func() {
					_ = cmd.Process.Kill()
					close(killed)
				})
			case "ack":
				if acked, err = strconv.ParseUint(value, 10, 64); err != nil {
					t.Fatal(err)
				}
			default:
				t.Fatalf("the child says %q", line)
			}
		}
		<-killed
		_ = cmd.Wait()

		s := mustOpen(t, dir, Options{})
		l, err := s.Open("log", eventlog.Retention{}) // nothing goes while it is read
		if err != nil {
			t.Fatal(err)
		}
		head := l.Head()
		if head < acked || head%5 != 0 {
			t.Errorf("round %d: the head is %d, acknowledged was %d", round, head, acked)
		}
		if head > 0 {
			if v, err := l.Get(t.Context(), "batch"); err != nil || string(v) != fmt.Sprint(head/5) {
				t.Errorf("round %d: the state says %q, %v; the head is %d", round, v, err, head)
			}
		}
		next := l.First()
		for q := (eventlog.Query{After: next - 1}); ; {
			p, err := l.Read(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range p.Events {
				if n := (e.Seq-1)/5 + 1; e.Seq != next || e.Rooms[0] != fmt.Sprint("r", (e.Seq-1)%5) || !strings.HasPrefix(string(e.Data), fmt.Sprint(n, " ")) {
					t.Fatalf("event %d in the place of %d: %q %.20q", e.Seq, next, e.Rooms, e.Data)
				}
				next++
			}
			if !p.More {
				break
			}
			q.After = p.Next
		}
		if next != head+1 {
			t.Errorf("round %d: events up to %d, the head is %d", round, next-1, head)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d events acknowledged", acked)
}
