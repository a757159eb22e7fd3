// Package logtest is the one suite that every backend of eventlog passes. A backend's own tests call Run
// with a Backend and add what is particular to it.
package logtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/eventlog"
)

// Backend is what the suite is run over.
type Backend struct {
	// Open makes a new, empty store. The suite closes it.
	Open func(t *testing.T) eventlog.Store
	// Reopen opens again what an earlier store left when it was closed. Nil when nothing outlives a store.
	Reopen func(t *testing.T, closed eventlog.Store) eventlog.Store
	// Crash opens what would be found if the process had been killed, or its machine had lost power, at
	// this moment, while the store goes on. Nil when nothing outlives a process.
	Crash func(t *testing.T, running eventlog.Store) eventlog.Store
}

// Run runs the suite.
func Run(t *testing.T, b Backend) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Backend)
	}{
		{"Append", testAppend},
		{"DoneInOrder", testDoneInOrder},
		{"GroupCommit", testGroupCommit},
		{"BatchIsAtomic", testBatchIsAtomic},
		{"HeadVisibility", testHeadVisibility},
		{"AppendContext", testAppendContext},
		{"FieldsRoundTrip", testFieldsRoundTrip},
		{"ReadRooms", testReadRooms},
		{"ReadModel", testReadModel},
		{"ReadPages", testReadPages},
		{"ReadMaxBytes", testReadMaxBytes},
		{"ReadBeyondHead", testReadBeyondHead},
		{"HeadOf", testHeadOf},
		{"LogsAreApart", testLogsAreApart},
		{"TrimEvents", testTrimEvents},
		{"TrimBytes", testTrimBytes},
		{"TrimAge", testTrimAge},
		{"TrimByItself", testTrimByItself},
		{"IndexMeetsTrimmed", testIndexMeetsTrimmed},
		{"TrimEverything", testTrimEverything},
		{"TrimLeavesOthers", testTrimLeavesOthers},
		{"Concurrent", testConcurrent},
		{"State", testState},
		{"StateScan", testStateScan},
		{"StateWithRecords", testStateWithRecords},
		{"Close", testClose},
		{"CloseCommits", testCloseCommits},
		{"OpenTwice", testOpenTwice},
		{"Epochs", testEpochs},
		{"Reopen", testReopen},
		{"ReopenTrimmed", testReopenTrimmed},
		{"Crash", testCrash},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // a case has stores of its own, and waits for its disk more than it computes
			c.test(t, b)
		})
	}
}

// open returns a log of a new store, closed when the test ends.
func open(t *testing.T, b Backend, r eventlog.Retention) eventlog.Log {
	t.Helper()
	return openLog(t, openStore(t, b), "log", r)
}

func openStore(t *testing.T, b Backend) eventlog.Store {
	t.Helper()
	s := b.Open(t)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return s
}

func openLog(t *testing.T, s eventlog.Store, name string, r eventlog.Retention) eventlog.Log {
	t.Helper()
	l, err := s.Open(name, r)
	if err != nil {
		t.Fatalf("open log %q: %v", name, err)
	}
	return l
}

// record is an event with text as its data; rooms are given as one string, separated by spaces.
func record(text, rooms string) eventlog.Record {
	return eventlog.Record{Rooms: strings.Fields(rooms), Data: []byte(text)}
}

func appendAll(t *testing.T, l eventlog.Log, records ...eventlog.Record) uint64 {
	t.Helper()
	first, err := l.Append(t.Context(), &eventlog.Batch{Records: records})
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return first
}

// fill appends n events in batches, event i to room "r<i mod 10>", except every 50th, which is for everyone.
func fill(t *testing.T, l eventlog.Log, n int) {
	t.Helper()
	base := int(l.Head())
	for done := 0; done < n; {
		b := &eventlog.Batch{}
		for ; done < n && len(b.Records) < 1000; done++ {
			b.Records = append(b.Records, filled(base+done+1))
		}
		if _, err := l.Append(t.Context(), b); err != nil {
			t.Fatalf("append: %v", err)
		}
	}
}

// filled is event seq of a log that fill wrote.
func filled(seq int) eventlog.Record {
	if seq%50 == 0 {
		return record(fmt.Sprintf("event %d", seq), "")
	}
	return record(fmt.Sprintf("event %d", seq), fmt.Sprintf("r%d", seq%10))
}

// readAll follows the pages of a query and checks what holds for every page.
func readAll(t *testing.T, l eventlog.Log, q eventlog.Query) []eventlog.Event {
	t.Helper()
	events, err := tryReadAll(t.Context(), l, q)
	if err != nil {
		t.Fatalf("read %+v: %v", q, err)
	}
	return events
}

func tryReadAll(ctx context.Context, l eventlog.Log, q eventlog.Query) ([]eventlog.Event, error) {
	var all []eventlog.Event
	for {
		p, err := l.Read(ctx, q)
		if err != nil {
			return all, err
		}
		if q.Limit > 0 && len(p.Events) > q.Limit {
			return all, fmt.Errorf("%d events in a page of %d", len(p.Events), q.Limit)
		}
		if p.More && len(p.Events) == 0 {
			return all, fmt.Errorf("an empty page that says there is more")
		}
		for _, e := range p.Events {
			if n := len(all); n > 0 && (all[n-1].Seq < e.Seq) == q.Reverse || n > 0 && all[n-1].Seq == e.Seq {
				return all, fmt.Errorf("event %d after %d", e.Seq, all[n-1].Seq)
			}
			all = append(all, e)
		}
		if !p.More {
			return all, nil
		}
		if q.Reverse {
			q.Until = p.Next
		} else {
			q.After = p.Next
		}
	}
}

func seqs(events []eventlog.Event) []uint64 {
	s := make([]uint64, len(events))
	for i := range events {
		s[i] = events[i].Seq
	}
	return s
}

func texts(events []eventlog.Event) []string {
	s := make([]string, len(events))
	for i := range events {
		s[i] = string(events[i].Data)
	}
	return s
}

func wantSeqs(t *testing.T, what string, events []eventlog.Event, want ...uint64) {
	t.Helper()
	if got := seqs(events); !slices.Equal(got, want) && len(got)+len(want) > 0 {
		t.Errorf("%s: got events %v, want %v", what, brief(got), brief(want))
	}
}

func brief(s []uint64) string {
	if len(s) > 20 {
		return fmt.Sprintf("%v ... %v (%d)", s[:10], s[len(s)-5:], len(s))
	}
	return fmt.Sprint(s)
}

// eventually waits for something that a task of the log's own does.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in 30 s: %s", what)
		}
	}
}
