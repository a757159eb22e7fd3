package handlers_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"holdfast/handlers"
)

func TestReceiptsHandleOnce(t *testing.T) {
	r := handlers.NewReceipts[int](2)
	handled := 0
	once := func(id string) (int, bool) {
		answer, repeated, err := r.Once(id, func() (int, error) { handled++; return handled, nil })
		if err != nil {
			t.Fatal(err)
		}
		return answer, repeated
	}
	for _, c := range []struct {
		id       string
		answer   int
		repeated bool
	}{{"a", 1, false}, {"a", 1, true}, {"b", 2, false}, {"a", 1, true}, {"c", 3, false}, {"b", 2, true}, {"a", 4, false}} {
		if answer, repeated := once(c.id); answer != c.answer || repeated != c.repeated {
			t.Fatalf("%s: %d %v, want %d %v", c.id, answer, repeated, c.answer, c.repeated)
		}
	}
}

func TestReceiptsDoNotKeepAFailure(t *testing.T) {
	r := handlers.NewReceipts[int](4)
	failure := errors.New("no")
	if _, _, err := r.Once("a", func() (int, error) { return 0, failure }); !errors.Is(err, failure) {
		t.Fatalf("got %v", err)
	}
	if answer, repeated, err := r.Once("a", func() (int, error) { return 7, nil }); answer != 7 || repeated || err != nil {
		t.Fatalf("got %d %v %v", answer, repeated, err)
	}
}

func TestReceiptsHandleOnceWhoeverAsks(t *testing.T) {
	r := handlers.NewReceipts[int](100)
	handled := make([]int, 50) // unguarded: one handle runs at a time
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range handled {
				r.Once(fmt.Sprint(i), func() (int, error) { handled[i]++; return i, nil }) //nolint:errcheck // it never fails
			}
		})
	}
	all.Wait()
	for i, n := range handled {
		if n != 1 {
			t.Errorf("%d was handled %d times", i, n)
		}
	}
}
