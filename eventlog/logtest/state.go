package logtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"holdfast/eventlog"
)

func apply(t *testing.T, l eventlog.Log, b *eventlog.Batch) {
	t.Helper()
	if _, err := l.Append(t.Context(), b); err != nil {
		t.Fatalf("append: %v", err)
	}
}

func kv(key, value string) eventlog.KV { return eventlog.KV{Key: key, Value: []byte(value)} }

func testState(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{})
	want := func(key, value string) {
		t.Helper()
		if v, err := l.Get(t.Context(), key); err != nil || string(v) != value {
			t.Errorf("Get(%q) = %q, %v; want %q", key, v, err, value)
		}
	}
	missing := func(key string) {
		t.Helper()
		if v, err := l.Get(t.Context(), key); !errors.Is(err, eventlog.ErrNotFound) {
			t.Errorf("Get(%q) = %q, %v; want ErrNotFound", key, v, err)
		}
	}
	missing("a")
	missing("")
	apply(t, l, &eventlog.Batch{Put: []eventlog.KV{kv("a", "1"), kv("b", ""), kv("", "empty"), kv("\x00\xff", "odd")}})
	want("a", "1")
	want("b", "")
	want("", "empty")
	want("\x00\xff", "odd")
	apply(t, l, &eventlog.Batch{Put: []eventlog.KV{kv("a", "2"), kv("a", "3")}, Delete: []string{"b", "never"}})
	want("a", "3")
	missing("b")
	apply(t, l, &eventlog.Batch{Put: []eventlog.KV{kv("a", "4")}, Delete: []string{"a", "\x00\xff"}})
	want("a", "4") // deletes come first
	missing("\x00\xff")
}

func testStateScan(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{})
	rng := rand.New(rand.NewPCG(3, 4))
	model := map[string]string{}
	for range 40 {
		batch := &eventlog.Batch{}
		for range 100 {
			key := fmt.Sprintf("%c/%d", 'a'+rune(rng.IntN(3)), rng.IntN(1500))
			if rng.IntN(3) == 0 {
				batch.Delete = append(batch.Delete, key)
			} else {
				batch.Put = append(batch.Put, kv(key, fmt.Sprint(rng.IntN(1000))))
			}
		}
		for _, k := range batch.Delete {
			delete(model, k)
		}
		for _, p := range batch.Put {
			model[p.Key] = string(p.Value)
		}
		apply(t, l, batch)
	}
	for _, c := range []struct{ prefix, after string }{
		{"", ""}, {"a/", ""}, {"b/", ""}, {"b/1", ""}, {"d/", ""}, {"", "b/"}, {"b/", "b/7"}, {"b/", "a/7"}, {"a/", "b/"}, {"a/1", "a/12"}, {"c/", "\xff"},
	} {
		var want []string
		for k := range model {
			if strings.HasPrefix(k, c.prefix) && k > c.after {
				want = append(want, k)
			}
		}
		sort.Strings(want)
		for _, limit := range []int{1 << 30, 7, 1} {
			var got []string
			err := l.Scan(t.Context(), c.prefix, c.after, func(k string, v []byte) bool {
				if model[k] != string(v) {
					t.Errorf("%q has %q, want %q", k, v, model[k])
				}
				got = append(got, k)
				return len(got) < limit
			})
			if n := min(limit, len(want)); err != nil || !slices.Equal(got, want[:n]) {
				t.Errorf("scan %q after %q, %d at most: %d keys, %v; want %d", c.prefix, c.after, limit, len(got), err, n)
			}
		}
	}
	// The callback may use the log.
	err := l.Scan(t.Context(), "a/", "", func(k string, _ []byte) bool {
		_, err := l.Get(t.Context(), k)
		return err == nil
	})
	if err != nil {
		t.Error(err)
	}
}

func testStateWithRecords(t *testing.T, b Backend) {
	l := open(t, b, eventlog.Retention{MaxEvents: 10})
	apply(t, l, &eventlog.Batch{Records: []eventlog.Record{record("x", "r")}, Put: []eventlog.KV{kv("cursor", "1")}})
	for range 5 {
		fill(t, l, 100)
	}
	if err := l.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, err := l.Get(t.Context(), "cursor"); err != nil || string(v) != "1" {
		t.Errorf("trimming took the state: %q, %v", v, err)
	}
}
