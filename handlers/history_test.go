package handlers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/eventlog"
	"holdfast/handlers"
	"holdfast/handlers/handlertest"
	"holdfast/socketio"
)

var historyLimits = handlers.HistoryLimits{Most: 40, Default: 5, Bytes: 10_000, Timeout: 10 * time.Second}

// startHistory runs a server with a client in the room "lobby" of a namespace that keeps its events.
func startHistory(t *testing.T) (*handlertest.Server, *handlertest.Client) {
	t.Helper()
	store := eventlog.NewMemory()
	t.Cleanup(func() { store.Close() })
	log, err := store.Open("/", eventlog.Retention{})
	if err != nil {
		t.Fatal(err)
	}
	srv := handlertest.Start(t, func(io *socketio.Server) {
		n := io.Of("/")
		socketio.Handle(n, "join", handlers.DefaultRoomLimits.Join)
		n.On("publish", handlers.DefaultRoomLimits.Publish)
		n.On("history", historyLimits.History)
		if err := n.Recover(socketio.DefaultRecoveryOptions(log)); err != nil {
			t.Fatal(err)
		}
	})
	c := srv.Connect(t, "/", nil)
	same(t, c.Ask("join", "lobby"), ok)
	return srv, c
}

func publish(t *testing.T, c *handlertest.Client, room string, args ...any) {
	t.Helper()
	same(t, c.Ask("publish", append([]any{room, "news"}, args...)...), ok)
}

// page is an answer to history: the first argument of each event, and where it begins and ends.
type page struct {
	args        []any
	first, last string
	more        bool
}

func history(t *testing.T, c *handlertest.Client, query map[string]any) (p page) {
	t.Helper()
	answer := c.Ask("history", "lobby", query)
	past, _ := answer[0].(map[string]any)
	events, ok := past["events"].([]any)
	if !ok {
		t.Fatalf("history(%v): %v", query, answer)
	}
	p.more = past["more"].(bool)
	for i, e := range events {
		event := e.(map[string]any)
		same(t, event["event"], "news")
		p.args = append(p.args, event["args"].([]any)[0])
		p.last = event["offset"].(string)
		if i == 0 {
			p.first = p.last
		}
	}
	return p
}

func numbers(from, to int) (list []any) {
	for i := from; i <= to; i++ {
		list = append(list, float64(i))
	}
	return list
}

func TestHistoryGoesBothWays(t *testing.T) {
	_, c := startHistory(t)
	same(t, history(t, c, nil), page{})
	for i := 1; i <= 12; i++ {
		publish(t, c, "lobby", i)
		publish(t, c, "elsewhere", "not this")
	}
	newest := history(t, c, nil)
	same(t, newest.args, numbers(8, 12))
	same(t, newest.more, true)
	earlier := history(t, c, map[string]any{"before": newest.first})
	same(t, earlier.args, numbers(3, 7))
	same(t, earlier.more, true)
	first := history(t, c, map[string]any{"before": earlier.first, "limit": 2})
	same(t, first.args, numbers(1, 2))
	same(t, first.more, false)
	same(t, history(t, c, map[string]any{"before": first.first}), page{})

	later := history(t, c, map[string]any{"after": first.last, "limit": 7})
	same(t, later.args, numbers(3, 9))
	same(t, later.more, true)
	later = history(t, c, map[string]any{"after": later.last, "limit": 7})
	same(t, later.args, numbers(10, 12))
	same(t, later.more, false)
	same(t, history(t, c, map[string]any{"after": later.last}), page{})
}

func TestHistoryGoesBackToTheFirst(t *testing.T) {
	_, c := startHistory(t)
	for i := 1; i <= 35; i++ {
		publish(t, c, "lobby", i)
	}
	p := history(t, c, map[string]any{"limit": 12})
	same(t, p.args, numbers(24, 35))
	p = history(t, c, map[string]any{"before": p.first, "limit": 12})
	same(t, p.args, numbers(12, 23))
	same(t, p.more, true)
	p = history(t, c, map[string]any{"before": p.first, "limit": 12})
	same(t, p.args, numbers(1, 11))
	same(t, p.more, false)
	same(t, history(t, c, map[string]any{"before": p.first}), page{})
}

func TestHistoryAnswersWithAsMuchAsFits(t *testing.T) {
	_, c := startHistory(t)
	for i := range 9 {
		publish(t, c, "lobby", strings.Repeat(fmt.Sprint(i), 3000))
	}
	publish(t, c, "lobby", make([]byte, 20_000))
	p := history(t, c, nil)
	same(t, p.args, []any{make([]byte, 20_000)}) // more than fits: but there is always one
	same(t, p.more, true)
	image := p.first
	for texts := 9; texts > 0; texts -= 3 {
		p = history(t, c, map[string]any{"before": p.first})
		same(t, len(p.args), 3)
		same(t, p.args[2], strings.Repeat(fmt.Sprint(texts-1), 3000))
		same(t, p.more, texts > 3)
	}
	sixth := history(t, c, map[string]any{"before": image}).first
	forward := history(t, c, map[string]any{"after": sixth, "limit": 40})
	same(t, len(forward.args), 2) // the image is the third, and too much
	same(t, forward.more, true)
}

func TestHistoryAnswersWithAsManyImagesAsAPacketHolds(t *testing.T) {
	_, c := startHistory(t)
	for i := range 20 {
		publish(t, c, "lobby", map[string]any{"n": i, "data": []byte{byte(i)}})
	}
	seen := 0
	for query, more := map[string]any{"limit": 20}, true; more; {
		p := history(t, c, query)
		if len(p.args) == 0 || len(p.args) > 10 {
			t.Fatalf("%d images in an answer", len(p.args))
		}
		seen += len(p.args)
		same(t, p.args[0].(map[string]any)["n"], float64(20-seen))
		query["before"], more = p.first, p.more
	}
	same(t, seen, 20)
}

func TestHistoryRefuses(t *testing.T) {
	srv, c := startHistory(t)
	publish(t, c, "lobby", 1)
	at := history(t, c, nil).first
	foreign := eventlog.Position{Epoch: 77, Seq: 1}.String()
	for _, bad := range []struct {
		args []any
		code string
	}{
		{nil, handlers.CodeBadRequest},
		{[]any{5}, handlers.CodeBadRequest},
		{[]any{"lobby", "all"}, handlers.CodeBadRequest},
		{[]any{"lobby", map[string]any{"limit": 41}}, handlers.CodeBadRequest},
		{[]any{"lobby", map[string]any{"limit": -1}}, handlers.CodeBadRequest},
		{[]any{"lobby", map[string]any{"before": at, "after": at}}, handlers.CodeBadRequest},
		{[]any{"elsewhere"}, handlers.CodeForbidden},
		{[]any{"lobby", map[string]any{"before": "nonsense"}}, "bad_offset"},
		{[]any{"lobby", map[string]any{"before": foreign}}, "bad_offset"},
		{[]any{"lobby", map[string]any{"after": "nonsense"}}, "bad_offset"},
		{[]any{"lobby", map[string]any{"after": foreign}}, "bad_offset"},
	} {
		if got := errorCode(c.Ask("history", bad.args...)); got != bad.code {
			t.Errorf("%v: code %q, want %q", bad.args, got, bad.code)
		}
	}
	stranger := srv.Connect(t, "/", nil)
	same(t, errorCode(stranger.Ask("history", "lobby")), handlers.CodeForbidden)
}
