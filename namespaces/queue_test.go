package namespaces_test

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"holdfast/eventlog"
	"holdfast/handlers"
	"holdfast/handlers/handlertest"
	"holdfast/namespaces"
	"holdfast/queue"
	"holdfast/socketio"
)

func startWithQueues(t *testing.T, token string) *handlertest.Server {
	t.Helper()
	store := eventlog.NewMemory()
	t.Cleanup(func() { store.Close() })
	log, err := store.Open("queues", eventlog.Retention{})
	if err != nil {
		t.Fatal(err)
	}
	manager, err := queue.Open(log, queue.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	return handlertest.Start(t, func(io *socketio.Server) {
		deps := namespaces.Deps{Logger: zerolog.Nop(), Queues: handlers.NewQueues(manager, token, time.Minute)}
		if err := namespaces.Register(io, deps); err != nil {
			t.Fatal(err)
		}
	})
}

func TestQueueTakesAMessageFromPublisherToWorkers(t *testing.T) {
	srv := startWithQueues(t, "")
	publisher, one := srv.Connect(t, "/queue", nil), srv.Connect(t, "/queue", nil)
	worker := map[string]any{"consumer": "one", "group": "g"}
	same(t, one.Ask("subscribe", "jobs", worker), []any{map[string]any{"ok": true}})
	same(t, publisher.Ask("publish", "jobs", []byte("body"), map[string]any{"id": "x"}), []any{map[string]any{"ok": true, "seq": 1.0}})
	args, _ := one.NextAsk("message")
	same(t, object(t, args), map[string]any{"queue": "jobs", "id": "x", "seq": 1.0, "body": []byte("body"), "attempt": 1.0})
	same(t, len(object(t, publisher.Ask("peek", "jobs"))["messages"].([]any)), 1)

	one.Drop()
	two := srv.Connect(t, "/queue", nil)
	worker["consumer"] = "two"
	two.Ask("subscribe", "jobs", worker)
	args, done := two.NextAsk("message")
	same(t, object(t, args)["attempt"], 2.0)
	done()
	same(t, two.Ask("unsubscribe", "jobs", worker), []any{map[string]any{"ok": true}})
	same(t, object(t, publisher.Ask("stats", "jobs"))["done"], 1.0)
	same(t, publisher.Ask("purge", "jobs"), []any{map[string]any{"ok": true, "removed": 0.0}})
	same(t, code(t, publisher.Ask("stats", "nowhere")), "no_queue")
}

func TestQueueLetsInWhoKnowsTheToken(t *testing.T) {
	srv := startWithQueues(t, "secret")
	for _, auth := range []any{
		nil,
		map[string]any{},
		map[string]any{"token": ""},
		map[string]any{"token": "Secret"},
		map[string]any{"token": "secret2"},
		map[string]any{"token": 7},
		map[string]any{"token": []any{"secret"}},
	} {
		c, refusal := srv.TryConnect(t, "/queue", auth)
		if c != nil {
			t.Errorf("%v was let in", auth)
		} else if refusal["message"] == "" {
			t.Errorf("%v: no reason", auth)
		}
	}
	c, refusal := srv.TryConnect(t, "/queue", map[string]any{"token": "no"})
	if c != nil {
		t.Fatal("let in")
	}
	same(t, refusal["data"].(map[string]any)["code"], handlers.CodeForbidden)
	same(t, srv.Connect(t, "/queue", map[string]any{"token": "secret"}).Ask("stats"), []any{map[string]any{"queues": []any{}}})
	srv.Connect(t, "/", nil) // the token is the queues' alone
}

func TestNoQueuesWithoutAStore(t *testing.T) {
	if c, _ := start(t).TryConnect(t, "/queue", nil); c != nil {
		t.Error("there is a namespace /queue")
	}
}
