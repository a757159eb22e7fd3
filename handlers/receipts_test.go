package handlers_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"holdfast/handlers"
)

type receipts = handlers.Receipts[int]

type receipt struct {
	answer   int
	repeated bool
	err      error
}

// once has a message handled at once, with that outcome.
func once(r *receipts, id string, outcome int, failure error) (got receipt) {
	r.Once(id, func(done func(int, error)) { done(outcome, failure) },
		func(answer int, repeated bool, err error) { got = receipt{answer, repeated, err} })
	return got
}

func TestReceiptsHandleOnce(t *testing.T) {
	r := handlers.NewReceipts[int](2)
	for i, c := range []struct {
		id       string
		answer   int
		repeated bool
	}{{"a", 0, false}, {"a", 0, true}, {"b", 2, false}, {"a", 0, true}, {"c", 4, false}, {"b", 2, true}, {"a", 6, false}} {
		same(t, once(r, c.id, i, nil), receipt{c.answer, c.repeated, nil})
	}
}

func TestReceiptsDoNotKeepAFailure(t *testing.T) {
	r := handlers.NewReceipts[int](4)
	failure := errors.New("no")
	same(t, once(r, "a", 0, failure), receipt{0, false, failure})
	same(t, once(r, "a", 7, nil), receipt{7, false, nil})
}

// A message that is sent again before its outcome is known gets the same one.
func TestReceiptsWaitForTheFirst(t *testing.T) {
	failure := errors.New("no")
	for _, outcome := range []error{nil, failure} {
		r := handlers.NewReceipts[int](4)
		var finish func(int, error)
		var got []receipt
		note := func(answer int, repeated bool, err error) { got = append(got, receipt{answer, repeated, err}) }
		r.Once("a", func(done func(int, error)) { finish = done }, note)
		r.Once("a", func(func(int, error)) { t.Error("handled twice") }, note)
		same(t, once(r, "b", 2, nil), receipt{2, false, nil}) // another is not held up
		same(t, got, []receipt(nil))
		finish(1, outcome)
		same(t, got, []receipt{{1, false, outcome}, {1, true, outcome}})
		finish(9, nil) // only the first outcome counts
		same(t, len(got), 2)
	}
}

func TestReceiptsRememberWhatWasHandledBefore(t *testing.T) {
	r := handlers.NewReceipts[int](2)
	r.Remember("a", 1)
	same(t, once(r, "a", 9, nil), receipt{1, true, nil})
	r.Remember("a", 2) // known: no other message is pushed out by it
	r.Remember("b", 3)
	same(t, once(r, "a", 9, nil), receipt{1, true, nil})
	r.Remember("c", 4)
	same(t, once(r, "a", 9, nil), receipt{9, false, nil})
}

func TestReceiptsHandleOnceWhoeverAsks(t *testing.T) {
	r := handlers.NewReceipts[int](100)
	handled := make([]int, 50) // unguarded: one handle runs at a time
	replies := make(chan bool, 8*len(handled))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range handled {
				r.Once(fmt.Sprint(i), func(done func(int, error)) {
					handled[i]++
					all.Go(func() { done(i, nil) })
				}, func(answer int, _ bool, err error) { replies <- answer == i && err == nil })
			}
		})
	}
	all.Wait()
	for i, n := range handled {
		if n != 1 {
			t.Errorf("%d was handled %d times", i, n)
		}
	}
	same(t, len(replies), cap(replies))
	for range cap(replies) {
		if !<-replies {
			t.Error("a wrong answer")
		}
	}
}
