package handlers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/eventlog"
	"holdfast/handlers"
	"holdfast/handlers/handlertest"
	"holdfast/queue"
	"holdfast/socketio"
)

// startQueues runs a server with the queues in "/". Pauses between attempts are a millisecond where o says nothing.
func startQueues(t *testing.T, o queue.QueueOptions) *handlertest.Server {
	t.Helper()
	store := eventlog.NewMemory()
	t.Cleanup(func() { store.Close() })
	log, err := store.Open("queues", eventlog.Retention{})
	if err != nil {
		t.Fatal(err)
	}
	if o.MinBackoff == 0 {
		o.MinBackoff, o.MaxBackoff = time.Millisecond, time.Millisecond
	}
	manager, err := queue.Open(log, queue.Options{Default: o})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	queues := handlers.NewQueues(manager, "", time.Minute)
	return handlertest.Start(t, func(io *socketio.Server) {
		n := io.Of("/")
		n.OnDisconnect(queues.Exit)
		n.On("publish", queues.Publish)
		n.On("subscribe", queues.Subscribe)
		n.On("unsubscribe", queues.Unsubscribe)
		n.On("stats", queues.Stats)
		n.On("peek", queues.Peek)
		n.On("purge", queues.Purge)
	})
}

type dict = map[string]any

func content(t *testing.T, answer []any) dict {
	t.Helper()
	if len(answer) != 1 {
		t.Fatalf("not one object: %#v", answer)
	}
	return answer[0].(dict)
}

func publishTo(t *testing.T, c *handlertest.Client, queue string, body any, options ...any) dict {
	t.Helper()
	answer := content(t, c.Ask("publish", append([]any{queue, body}, options...)...))
	if answer["ok"] != true {
		t.Fatalf("publish: %v", answer)
	}
	return answer
}

func consume(t *testing.T, c *handlertest.Client, queue string, options dict) {
	t.Helper()
	same(t, c.Ask("subscribe", queue, options), ok)
}

// nextMessage waits for a message.
func nextMessage(t *testing.T, c *handlertest.Client) (message dict, done func(...any)) {
	t.Helper()
	args, done := c.NextAsk("message")
	return content(t, args), done
}

// statsWhen asks for the figures of a queue until they are as wanted.
func statsWhen(t *testing.T, c *handlertest.Client, queue string, wanted func(stats dict) bool) dict {
	t.Helper()
	end := time.Now().Add(handlertest.Patience)
	for {
		stats := content(t, c.Ask("stats", queue))
		if wanted(stats) {
			return stats
		}
		if time.Now().After(end) {
			t.Fatalf("the queue stays at %v", stats)
		}
	}
}

func empty(stats dict) bool { return stats["messages"] == 0.0 }

func TestQueueHandsOverUntilDone(t *testing.T) {
	srv := startQueues(t, queue.QueueOptions{})
	ada, worker := srv.Connect(t, "/", nil), srv.Connect(t, "/", nil)
	same(t, publishTo(t, ada, "mail", dict{"to": "a"}), dict{"ok": true, "seq": 1.0})
	same(t, publishTo(t, ada, "mail", nil, dict{"id": "x"}), dict{"ok": true, "seq": 2.0})
	consume(t, worker, "mail", dict{"consumer": "w"})
	consume(t, worker, "mail", dict{"consumer": "w"}) // once more is no second one

	message, done := nextMessage(t, worker)
	same(t, message, dict{"queue": "mail", "seq": 1.0, "body": dict{"to": "a"}, "attempt": 1.0})
	worker.Ask("stats")
	same(t, worker.Pending(), []string{}) // one at a time
	done()
	message, done = nextMessage(t, worker)
	same(t, message, dict{"queue": "mail", "id": "x", "seq": 2.0, "body": nil, "attempt": 1.0})
	done(nil)
	statsWhen(t, ada, "mail", empty)
	publishTo(t, ada, "mail", 3)
	message, done = nextMessage(t, worker)
	same(t, message["body"], 3.0)
	done(dict{})
	statsWhen(t, ada, "mail", empty)
}

func TestQueueStoresAnIDOnce(t *testing.T) {
	srv := startQueues(t, queue.QueueOptions{})
	ada := srv.Connect(t, "/", nil)
	publishTo(t, ada, "mail", "first", dict{"id": "x"})
	same(t, publishTo(t, ada, "mail", "second", dict{"id": "x"}), dict{"ok": true, "seq": 1.0, "duplicate": true})
	same(t, publishTo(t, ada, "post", "other", dict{"id": "x"}), dict{"ok": true, "seq": 1.0})
	stats := content(t, ada.Ask("stats", "mail"))
	same(t, []any{stats["messages"], stats["published"], stats["duplicates"]}, []any{1.0, 1.0, 1.0})
	consume(t, ada, "mail", dict{"consumer": "w"})
	message, _ := nextMessage(t, ada)
	same(t, message["body"], "first")
}

func TestQueueHoldsBackWhatIsDelayed(t *testing.T) {
	srv := startQueues(t, queue.QueueOptions{})
	ada := srv.Connect(t, "/", nil)
	consume(t, ada, "mail", dict{"consumer": "w"})
	same(t, publishTo(t, ada, "mail", "late", dict{"delay": 300}), dict{"ok": true})
	publishTo(t, ada, "mail", "at once", dict{"delay": 0})
	for _, body := range []string{"at once", "late"} {
		message, done := nextMessage(t, ada)
		same(t, message["body"], body)
		done()
	}
}

func TestQueueForgetsWhatIsNotWorthDelivering(t *testing.T) {
	srv := startQueues(t, queue.QueueOptions{})
	ada := srv.Connect(t, "/", nil)
	publishTo(t, ada, "mail", "stale", dict{"ttl": 1})
	publishTo(t, ada, "mail", "fresh")
	time.Sleep(2 * time.Millisecond) // the only clock is the wall's
	consume(t, ada, "mail", dict{"consumer": "w"})
	message, _ := nextMessage(t, ada)
	same(t, message["body"], "fresh")
}

func TestQueueTriesAgain(t *testing.T) {
	srv := startQueues(t, queue.QueueOptions{})
	ada := srv.Connect(t, "/", nil)
	consume(t, ada, "mail", dict{"consumer": "w"})
	publishTo(t, ada, "mail", "a")
	publishTo(t, ada, "mail", "b")
	// At once, after a pause, after the queue's own, and twice with answers that make no sense.
	for i, answer := range []any{dict{"retry": 0}, dict{"retry": 1}, dict{"retry": -1}, "done"} {
		message, done := nextMessage(t, ada)
		same(t, []any{message["body"], message["attempt"]}, []any{"a", float64(i + 1)})
		done(answer)
	}
	message, done := nextMessage(t, ada)
	same(t, []any{message["body"], message["attempt"]}, []any{"a", 5.0})
	done(dict{"retry": "soon"}) // the fifth was the last
	message, done = nextMessage(t, ada)
	same(t, []any{message["body"], message["attempt"]}, []any{"b", 1.0})
	done()
	statsWhen(t, ada, "mail", empty)
	dead := content(t, ada.Ask("peek", "mail.dead"))["messages"].([]any)
	same(t, len(dead), 1)
	same(t, dead[0].(dict)["dead"].(dict)["attempts"], 5.0)
}

func TestQueueKeepsDeadLetters(t *testing.T) {
	srv := startQueues(t, queue.QueueOptions{MaxAttempts: 2})
	ada := srv.Connect(t, "/", nil)
	consume(t, ada, "mail", dict{"consumer": "w", "group": "g"})
	publishTo(t, ada, "mail", "bad", dict{"id": "x"})
	publishTo(t, ada, "mail", "worse")
	_, done := nextMessage(t, ada)
	done(dict{"reject": "no such address"})
	for range 2 {
		message, done := nextMessage(t, ada)
		same(t, message["body"], "worse")
		done(dict{"retry": 0})
	}
	same(t, statsWhen(t, ada, "mail", empty)["dead"], 2.0)
	dead := content(t, ada.Ask("peek", "mail.dead"))["messages"].([]any)
	same(t, len(dead), 2)
	for i, want := range []dict{
		{"queue": "mail", "seq": 1.0, "group": "g", "attempts": 1.0, "reason": "no such address"},
		{"queue": "mail", "seq": 2.0, "group": "g", "attempts": 2.0, "reason": "gave up after its last retry"},
	} {
		same(t, dead[i].(dict)["dead"], want)
	}
	consume(t, ada, "mail.dead", dict{"consumer": "undertaker"})
	message, _ := nextMessage(t, ada)
	same(t, []any{message["queue"], message["body"]}, []any{"mail.dead", "bad"})
}

func TestQueueWaitsForNoAnswerForEver(t *testing.T) {
	srv := startQueues(t, queue.QueueOptions{AckTimeout: 50 * time.Millisecond})
	ada := srv.Connect(t, "/", nil)
	consume(t, ada, "mail", dict{"consumer": "w"})
	publishTo(t, ada, "mail", "a")
	_, late := nextMessage(t, ada)
	message, _ := nextMessage(t, ada)
	same(t, message["attempt"], 2.0)
	late() // counts all the same
	statsWhen(t, ada, "mail", empty)
}

func TestQueueGivesWhatALostConsumerHadToAnother(t *testing.T) {
	for name, leave := range map[string]func(*handlertest.Client){
		"lost":         (*handlertest.Client).Drop,
		"disconnected": (*handlertest.Client).Goodbye,
		"unsubscribed": func(c *handlertest.Client) { c.Ask("unsubscribe", "mail", dict{"consumer": "one", "group": "g"}) },
	} {
		t.Run(name, func(t *testing.T) {
			srv := startQueues(t, queue.QueueOptions{})
			one, two := srv.Connect(t, "/", nil), srv.Connect(t, "/", nil)
			consume(t, one, "mail", dict{"consumer": "one", "group": "g", "prefetch": 2})
			publishTo(t, two, "mail", "a")
			publishTo(t, two, "mail", "b")
			_, done := nextMessage(t, one)
			nextMessage(t, one)
			done()
			one.Ask("stats")
			consume(t, two, "mail", dict{"consumer": "two", "group": "g"})
			leave(one)
			message, done := nextMessage(t, two)
			same(t, []any{message["body"], message["attempt"]}, []any{"b", 2.0})
			done()
			stats := statsWhen(t, two, "mail", empty)
			same(t, stats["groups"].([]any)[0].(dict)["consumers"], 1.0)
		})
	}
}

func TestQueueGivesEveryGroupEverything(t *testing.T) {
	srv := startQueues(t, queue.QueueOptions{})
	ada := srv.Connect(t, "/", nil)
	publishTo(t, ada, "mail", "first")
	publishTo(t, ada, "mail", "second")
	for options, want := range map[*dict]string{
		{"consumer": "a"}:                               "first",
		{"consumer": "b", "group": "a"}:                 "first", // no relation of the consumer's cursor
		{"consumer": "c", "from": "first"}:              "first",
		{"consumer": "d", "from": 2}:                    "second",
		{"consumer": "e", "from": "new", "prefetch": 9}: "third",
	} {
		worker := srv.Connect(t, "/", nil)
		consume(t, worker, "mail", *options)
		if want == "third" {
			publishTo(t, ada, "mail", "third")
		}
		message, _ := nextMessage(t, worker)
		same(t, message["body"], want)
	}
}

func TestQueueCursorOutlivesItsConsumerUnlessForgotten(t *testing.T) {
	srv := startQueues(t, queue.QueueOptions{})
	ada, eve := srv.Connect(t, "/", nil), srv.Connect(t, "/", nil)
	w, g := dict{"consumer": "w", "group": "g"}, dict{"consumer": "v", "group": "g"}
	consume(t, ada, "mail", w)
	consume(t, eve, "other", g)
	same(t, ada.Ask("unsubscribe", "mail", w), ok)
	same(t, ada.Ask("unsubscribe", "mail", w), ok) // not subscribed is as good
	publishTo(t, ada, "mail", "kept")
	consume(t, eve, "mail", g)
	message, _ := nextMessage(t, eve)
	same(t, message["body"], "kept")

	// Forgotten, for all of the group: what was held for it goes, and who comes again begins anew.
	same(t, ada.Ask("unsubscribe", "mail", dict{"consumer": "w", "group": "g", "forget": true}), ok)
	same(t, content(t, ada.Ask("stats", "mail"))["groups"], []any{})
	same(t, refused(t, ada.Ask("unsubscribe", "mail", dict{"consumer": "w", "group": "g", "forget": true})), "not_subscribed")
	consume(t, eve, "mail", dict{"consumer": "v", "group": "g", "from": "new"})
	publishTo(t, ada, "mail", "news")
	message, _ = nextMessage(t, eve)
	same(t, message["body"], "news")
}

func TestQueueCarriesBinary(t *testing.T) {
	srv := startQueues(t, queue.QueueOptions{})
	ada := srv.Connect(t, "/", nil)
	body := dict{"name": "a.png", "parts": []any{[]byte{1, 2}, []byte{}, []byte("three")}}
	publishTo(t, ada, "files", body)
	page := content(t, ada.Ask("peek", "files"))
	same(t, page["messages"].([]any)[0].(dict)["body"], body)
	consume(t, ada, "files", dict{"consumer": "w"})
	message, _ := nextMessage(t, ada)
	same(t, message["body"], body)
}

func TestQueueStats(t *testing.T) {
	srv := startQueues(t, queue.QueueOptions{})
	ada := srv.Connect(t, "/", nil)
	same(t, content(t, ada.Ask("stats")), dict{"queues": []any{}})
	for i := range 3 {
		publishTo(t, ada, "mail", i)
	}
	publishTo(t, ada, "mail", 3, dict{"delay": 1_000_000})
	consume(t, ada, "mail", dict{"consumer": "w", "group": "g"})
	nextMessage(t, ada)
	same(t, content(t, ada.Ask("stats")), dict{"queues": []any{"mail"}})
	same(t, content(t, ada.Ask("stats", "mail")), dict{
		"queue": "mail", "messages": 4.0, "bytes": content(t, ada.Ask("stats", "mail"))["bytes"], "delayed": 1.0, "head": 3.0,
		"published": 4.0, "duplicates": 0.0, "refused": 0.0, "delivered": 1.0, "done": 0.0, "retried": 0.0, "dead": 0.0, "expired": 0.0,
		"groups": []any{dict{
			"name": "g", "shared": true, "consumers": 1.0, "in_flight": 1.0, "waiting": 0.0, "done_up_to": 0.0, "lag": 2.0,
		}},
	})
}

func TestQueuePeek(t *testing.T) {
	srv := startQueues(t, queue.QueueOptions{})
	ada := srv.Connect(t, "/", nil)
	for i := range 25 {
		publishTo(t, ada, "mail", i, dict{"id": fmt.Sprint("n", i), "ttl": 1_000_000})
	}
	page := func(options ...any) (seqs []float64, more bool) {
		t.Helper()
		answer := content(t, ada.Ask("peek", append([]any{"mail"}, options...)...))
		for _, m := range answer["messages"].([]any) {
			m := m.(dict)
			seqs = append(seqs, m["seq"].(float64))
			same(t, []any{m["id"], m["body"]}, []any{fmt.Sprint("n", m["seq"].(float64)-1), m["seq"].(float64) - 1})
			if m["published"].(float64)+1_000_000 != m["expires"] || m["dead"] != nil {
				t.Fatalf("not as published: %v", m)
			}
		}
		return seqs, answer["more"].(bool)
	}
	seqs, more := page()
	same(t, []any{len(seqs), seqs[0], more}, []any{20, 1.0, true})
	seqs, more = page(dict{"after": 20})
	same(t, []any{seqs, more}, []any{[]float64{21, 22, 23, 24, 25}, false})
	seqs, more = page(dict{"after": 22, "limit": 2})
	same(t, []any{seqs, more}, []any{[]float64{23, 24}, true})
	for _, limit := range []int{0, -1, 101} {
		same(t, refused(t, ada.Ask("peek", "mail", dict{"limit": limit})), handlers.CodeBadRequest)
	}
}

// An answer has no more than a packet can: bytes, and attachments.
func TestQueuePeekIsBounded(t *testing.T) {
	srv := startQueues(t, queue.QueueOptions{})
	ada := srv.Connect(t, "/", nil)
	files := []any{[]byte("a"), []byte("b"), []byte("c"), []byte("d")}
	for range 4 {
		publishTo(t, ada, "files", files)
		publishTo(t, ada, "texts", strings.Repeat("x", 100<<10))
	}
	for _, name := range []string{"files", "texts"} {
		seen := 0
		for more := true; more; {
			page := content(t, ada.Ask("peek", name, dict{"after": seen}))
			list := page["messages"].([]any)
			if len(list) != 2 {
				t.Fatalf("%d of %s", len(list), name)
			}
			seen = int(list[1].(dict)["seq"].(float64))
			more = page["more"].(bool)
		}
		same(t, seen, 4)
	}
}

func TestQueuePurge(t *testing.T) {
	srv := startQueues(t, queue.QueueOptions{})
	ada := srv.Connect(t, "/", nil)
	consume(t, ada, "mail", dict{"consumer": "w"})
	for i := range 3 {
		publishTo(t, ada, "mail", i)
	}
	publishTo(t, ada, "mail", 3, dict{"delay": 1_000_000})
	_, done := nextMessage(t, ada)
	same(t, content(t, ada.Ask("purge", "mail")), dict{"ok": true, "removed": 4.0})
	done()
	same(t, content(t, ada.Ask("stats", "mail"))["messages"], 0.0)
	publishTo(t, ada, "mail", "news")
	message, _ := nextMessage(t, ada)
	same(t, []any{message["body"], message["attempt"]}, []any{"news", 1.0})
}

func refused(t *testing.T, answer []any) any {
	t.Helper()
	body, found := content(t, answer)["error"].(dict)
	if !found || body["message"] == "" {
		t.Fatalf("no error: %v", answer)
	}
	return body["code"]
}

func TestQueueRefuses(t *testing.T) {
	srv := startQueues(t, queue.QueueOptions{MaxMessages: 2, MaxMessageBytes: 1000})
	ada := srv.Connect(t, "/", nil)
	publishTo(t, ada, "full", 1)
	publishTo(t, ada, "full", 2, dict{"id": "x"})
	long := strings.Repeat("x", 1000)
	for _, c := range []struct {
		code string
		call []any
	}{
		{"bad_name", []any{"publish", "", 1}},
		{"bad_name", []any{"publish", "two words", 1}},
		{"bad_name", []any{"publish", long, 1}},
		{"bad_name", []any{"publish", "nul\x00", 1}},
		{"bad_name", []any{"publish", "mail.dead", 1}},
		{"bad_request", []any{"publish"}},
		{"bad_request", []any{"publish", "mail"}},
		{"bad_request", []any{"publish", 7, 1}},
		{"bad_request", []any{"publish", "mail", 1, "options"}},
		{"bad_request", []any{"publish", "mail", 1, dict{"id": 7}}},
		{"bad_request", []any{"publish", "mail", 1, dict{"id": long}}},
		{"bad_request", []any{"publish", "mail", 1, dict{"ttl": -1}}},
		{"bad_request", []any{"publish", "mail", 1, dict{"delay": -1}}},
		{"bad_request", []any{"publish", "mail", 1, dict{"delay": 1 << 60}}},
		{"too_large", []any{"publish", "mail", long}},
		{"too_large", []any{"publish", "mail", []byte(long)}},
		{"queue_full", []any{"publish", "full", 3}},
		{"bad_request", []any{"subscribe"}},
		{"bad_name", []any{"subscribe", "mail"}},
		{"bad_name", []any{"subscribe", "mail", dict{}}},
		{"bad_name", []any{"subscribe", "a b", dict{"consumer": "w"}}},
		{"bad_name", []any{"subscribe", "mail", dict{"consumer": "w", "group": "a b"}}},
		{"bad_request", []any{"subscribe", "mail", dict{"consumer": "w", "from": "now"}}},
		{"bad_request", []any{"subscribe", "mail", dict{"consumer": "w", "from": 0}}},
		{"bad_request", []any{"subscribe", "mail", dict{"consumer": "w", "from": 1.5}}},
		{"bad_request", []any{"subscribe", "mail", dict{"consumer": "w", "from": []any{}}}},
		{"bad_request", []any{"subscribe", "mail", dict{"consumer": "w", "prefetch": "all"}}},
		{"bad_request", []any{"unsubscribe", "mail"}},
		{"bad_request", []any{"unsubscribe", "mail", dict{"group": "g"}}},
		{"no_queue", []any{"unsubscribe", "nowhere", dict{"consumer": "w", "forget": true}}},
		{"not_subscribed", []any{"unsubscribe", "full", dict{"consumer": "w", "forget": true}}},
		{"no_queue", []any{"stats", "nowhere"}},
		{"bad_request", []any{"stats", 7}},
		{"no_queue", []any{"peek", "nowhere"}},
		{"bad_request", []any{"peek"}},
		{"no_queue", []any{"purge", "nowhere"}},
		{"bad_request", []any{"purge"}},
	} {
		if code := refused(t, ada.Ask(c.call[0].(string), c.call[1:]...)); code != c.code {
			t.Errorf("%.80v: %v, not %s", c.call, code, c.code)
		}
	}
	same(t, publishTo(t, ada, "full", 2, dict{"id": "x"})["duplicate"], true) // what is there already is not refused
	same(t, content(t, ada.Ask("stats", "full"))["messages"], 2.0)
}

func TestQueueBoundsSubscriptions(t *testing.T) {
	srv := startQueues(t, queue.QueueOptions{})
	ada := srv.Connect(t, "/", nil)
	for i := range 100 {
		consume(t, ada, "mail", dict{"consumer": fmt.Sprint("w", i), "group": "g"})
	}
	same(t, refused(t, ada.Ask("subscribe", "mail", dict{"consumer": "another"})), handlers.CodeFull)
	consume(t, ada, "mail", dict{"consumer": "w5", "group": "g"})
	same(t, ada.Ask("unsubscribe", "mail", dict{"consumer": "w5", "group": "g"}), ok)
	consume(t, ada, "mail", dict{"consumer": "another"})
}
