package pebblelog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/eventlog"
)

// madeStore is a closed store with events in tables and in a write-ahead log.
func madeStore(t *testing.T) (dir string, epoch uint64) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	s := mustOpen(t, dir, Options{})
	l, err := s.Open("log", eventlog.Retention{})
	if err != nil {
		t.Fatal(err)
	}
	write := func(n int) {
		for i := range n {
			_, err := l.Append(t.Context(), &eventlog.Batch{
				Records: []eventlog.Record{{Rooms: []string{"r"}, Data: fmt.Appendf(nil, "event %d %s", i, strings.Repeat("x", 1000))}},
				Put:     []eventlog.KV{{Key: fmt.Sprint("key ", i), Value: []byte(strings.Repeat("y", 100))}},
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	write(500)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	write(50)
	epoch = l.Epoch()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, epoch
}

// newest is the file of a kind with the highest number.
func newest(t *testing.T, dir, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("no file %s: %v", pattern, err)
	}
	return slices.Max(names)
}

// scramble writes over a part of a file.
func scramble(t *testing.T, name string, from, to float64) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := int(from * float64(len(data))); i < int(to*float64(len(data))); i++ {
		data[i] ^= 0x5a
	}
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// readEverything reads all events and the whole state.
func readEverything(t *testing.T, l eventlog.Log) (events, keys int, err error) {
	q := eventlog.Query{After: l.First() - 1}
	for {
		p, err := l.Read(t.Context(), q)
		if err != nil {
			return events, keys, err
		}
		events += len(p.Events)
		if !p.More {
			break
		}
		q.After = p.Next
	}
	err = l.Scan(t.Context(), "", "", func(string, []byte) bool { keys++; return true })
	return events, keys, err
}

func TestDamage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern  string
		from, to float64
		remove   bool
		late     bool // found out when it is read, not when the store is opened
		nothing  bool // nothing can be salvaged
	}{
		{pattern: "*.sst", from: 0.3, to: 0.4, late: true},
		{pattern: "*.sst", from: 0.9, to: 1, late: true, nothing: true}, // there is only one
		{pattern: "*.sst", remove: true, nothing: true},
		{pattern: "*.log", from: 0.3, to: 0.4},
		{pattern: "MANIFEST-*", from: 0.1, to: 0.9, nothing: true},
		{pattern: "MANIFEST-*", remove: true, nothing: true},
	} {
		t.Run(fmt.Sprintf("%s %v remove %v", c.pattern, c.from, c.remove), func(t *testing.T) {
			t.Parallel()
			dir, epoch := madeStore(t)
			name := newest(t, dir, c.pattern)
			if c.remove {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			} else {
				scramble(t, name, c.from, c.to)
			}
			s, err := Open(dir, Options{})
			if c.late && err == nil {
				l, openErr := s.Open("log", eventlog.Retention{})
				if err = openErr; err == nil {
					_, _, err = readEverything(t, l)
				}
				if closeErr := s.Close(); closeErr != nil {
					t.Errorf("close: %v", closeErr)
				}
			}
			if err == nil {
				t.Fatal("the damage was not found")
			}
			if !errors.Is(err, eventlog.ErrCorrupt) {
				t.Fatalf("the error is no ErrCorrupt: %v", err)
			}
			base := strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
			if !strings.Contains(err.Error(), base) {
				t.Errorf("the error doesn't name %s: %v", filepath.Base(name), err)
			}

			r, err := Repair(dir, Options{})
			if err != nil {
				t.Fatalf("repair: %v", err)
			}
			if r.Problems == nil || !strings.HasPrefix(r.Kept, dir+".damaged-") {
				t.Errorf("repaired: %+v", r)
			}
			if _, err := os.Stat(filepath.Join(r.Kept, filepath.Base(name))); (err != nil) != c.remove {
				t.Errorf("the old files are not kept as they were: %v", err)
			}
			s = mustOpen(t, dir, Options{})
			defer s.Close()
			l, err := s.Open("log", eventlog.Retention{})
			if err != nil {
				t.Fatal(err)
			}
			if l.Epoch() == epoch {
				t.Error("the epoch is the old one")
			}
			events, keys, err := readEverything(t, l)
			if err != nil || uint64(events) != r.Events || uint64(keys) > r.Keys {
				t.Errorf("%d events and %d keys are there, %v; salvaged were %d and %d", events, keys, err, r.Events, r.Keys)
			}
			if (events == 0 || keys == 0) != c.nothing {
				t.Errorf("%d events and %d keys were salvaged", events, keys)
			}
			t.Logf("salvaged %d of 550 events, %d lost, %d of 500 keys; %v", events, r.Lost, keys, r.Problems)
		})
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	defer s.Close()
	if _, err := Open(dir, Options{}); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second Open: %v", err)
	}
	if _, err := Repair(dir, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("repair of an open store: %v", err)
	}
}

func TestOtherLayout(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir, Options{})
	if err := s.db.Set(formatKey, []byte{99}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), "layout 63") {
		t.Errorf("a store of another layout: %v", err)
	}
}

// TestUnsyncedEpoch: a store that doesn't sync and wasn't closed may have lost events; a reader of them
// must find out.
func TestUnsyncedEpoch(t *testing.T) {
	dir := t.TempDir()
	open := func(noSync bool) (*Store, eventlog.Log) {
		s := mustOpen(t, dir, Options{NoSync: noSync})
		l, err := s.Open("log", eventlog.Retention{})
		if err != nil {
			t.Fatal(err)
		}
		return s, l
	}
	s, l := open(true)
	first := l.Epoch()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, l = open(true)
	if l.Epoch() != first {
		t.Error("the epoch changed though the store was closed")
	}
	s.guard.freeze(errors.New("as if the process had been killed here"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, l = open(false)
	second := l.Epoch()
	if second == first {
		t.Error("the epoch is the same though the store was not closed")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, l = open(false)
	if l.Epoch() != second {
		t.Error("the epoch changed once more")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
