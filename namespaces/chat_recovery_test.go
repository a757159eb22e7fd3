package namespaces_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"holdfast/eventlog"
	"holdfast/handlers/handlertest"
	"holdfast/namespaces"
	"holdfast/socketio"
)

// lasting is what outlives a server in these tests: the log of /chat.
type lasting struct{ eventlog.Log }

func newLasting(t *testing.T) *lasting {
	t.Helper()
	store := eventlog.NewMemory()
	t.Cleanup(func() { store.Close() })
	log, err := store.Open("/chat", eventlog.Retention{})
	if err != nil {
		t.Fatal(err)
	}
	return &lasting{log}
}

// start runs a server whose /chat is kept in the log. Another one on the same log is what comes after a crash: it
// knows what is in there, and nothing else of the first.
func (l *lasting) start(t *testing.T) *handlertest.Server {
	t.Helper()
	return handlertest.Start(t, func(io *socketio.Server) {
		if err := namespaces.Register(io, namespaces.Deps{Logger: zerolog.Nop()}); err != nil {
			t.Fatal(err)
		}
		if err := io.Of("/chat").Recover(socketio.DefaultRecoveryOptions(l)); err != nil {
			t.Fatal(err)
		}
	})
}

// pid is the private id of a session, as its client would know it.
func (l *lasting) pid(t *testing.T, socket string) (pid string) {
	t.Helper()
	err := l.Scan(context.Background(), "s/", "", func(key string, value []byte) bool {
		var session struct{ ID string }
		if json.Unmarshal(value, &session) == nil && session.ID == socket {
			pid = strings.TrimPrefix(key, "s/")
		}
		return pid == ""
	})
	if err != nil || pid == "" {
		t.Fatalf("no session of %s: %v", socket, err)
	}
	return pid
}

// comeBack connects a client to its session again, from an offset on.
func (l *lasting) comeBack(t *testing.T, srv *handlertest.Server, name string, old *handlertest.Client, offset string) *handlertest.Client {
	t.Helper()
	claim := auth(name)
	claim["pid"], claim["offset"] = l.pid(t, old.ID), offset
	return srv.Connect(t, "/chat", claim)
}

// kept splits the arguments of a kept event into its object and the offset.
func kept(t *testing.T, args []any) (content map[string]any, offset string) {
	t.Helper()
	if len(args) != 2 {
		t.Fatalf("not an object and an offset: %#v", args)
	}
	offset, _ = args[1].(string)
	return object(t, args[:1]), offset
}

func names(t *testing.T, welcome map[string]any) (list []string) {
	t.Helper()
	for _, p := range welcome["people"].([]any) {
		person := p.(map[string]any)
		list = append(list, fmt.Sprint(person["name"], " ", person["here"]))
	}
	return list
}

func visit(t *testing.T, srv *handlertest.Server, name string) (c *handlertest.Client, offset string) {
	t.Helper()
	c = srv.Connect(t, "/chat", auth(name))
	_, offset = kept(t, c.Next("welcome"))
	return c, offset
}

func TestChatHandsOverWhatWasMissed(t *testing.T) {
	log := newLasting(t)
	srv := log.start(t)
	ada, _ := visit(t, srv, "Ada")
	grace, offset := visit(t, srv, "Grace")
	grace.Drop()
	ada.Next("away")
	eve, _ := visit(t, srv, "Eve")
	receipt := object(t, ada.Ask("message", message("while you were away", "m1")))
	ada.Goodbye()
	eve.Next("left")

	back := log.comeBack(t, srv, "Grace", grace, offset)
	same(t, back.ID, grace.ID)
	content, _ := kept(t, back.Next("message"))
	same(t, content, map[string]any{"from": "Ada", "text": "while you were away", "cid": "m1", "id": receipt["id"], "at": receipt["at"]})
	hello, _ := kept(t, back.Next("welcome"))
	same(t, names(t, hello), []string{"Eve true", "Grace true"})
	eve.Next("back")
	back.Ask("echo")
	same(t, back.Pending(), []string{"joined", "left"}) // of Eve and Ada: nothing of her own
	object(t, eve.Ask("message", message("and now", "m2")))
	content, _ = kept(t, back.Next("message"))
	same(t, content["text"], "and now")
}

// The client is back before the server has noticed that it was gone.
func TestChatSessionMovesToItsNewConnection(t *testing.T) {
	log := newLasting(t)
	srv := log.start(t)
	ada, _ := visit(t, srv, "Ada")
	grace, offset := visit(t, srv, "Grace")
	ada.Next("joined")
	back := log.comeBack(t, srv, "Grace", grace, offset)
	hello, _ := kept(t, back.Next("welcome"))
	same(t, names(t, hello), []string{"Ada true", "Grace true"})
	ada.Next("away")
	ada.Next("back")
	back.Ask("echo")
	same(t, back.Pending(), []string{})
	object(t, ada.Ask("message", message("once", "m1")))
	back.Next("message")
	back.Ask("echo")
	same(t, back.Pending(), []string{})
}

func TestChatSessionIsItsOwnersAlone(t *testing.T) {
	log := newLasting(t)
	srv := log.start(t)
	ada, _ := visit(t, srv, "Ada")
	grace, offset := visit(t, srv, "Grace")
	grace.Drop()
	ada.Next("joined")
	ada.Next("away")
	object(t, ada.Ask("message", message("for who was here", "m1")))
	eve := log.comeBack(t, srv, "Eve", grace, offset)
	if eve.ID == grace.ID {
		t.Fatal("Eve has Grace's session")
	}
	eve.Next("welcome")
	eve.Ask("echo")
	same(t, eve.Pending(), []string{})
}

// Nothing that is written down, or sent to other nodes, gives a client's key away.
func TestChatKeepsNoKeys(t *testing.T) {
	log := newLasting(t)
	srv := log.start(t)
	ada, _ := visit(t, srv, "Ada")
	object(t, ada.Ask("message", message("hello", "m1")))
	secret := auth("Ada")["key"].(string)
	err := log.Scan(context.Background(), "", "", func(_ string, value []byte) bool {
		if strings.Contains(string(value), secret) {
			t.Errorf("in the log: %s", value)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := log.Read(context.Background(), eventlog.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range page.Events {
		if strings.Contains(string(e.Data), secret) {
			t.Errorf("in the log: %s", e.Data)
		}
	}
}

// After a crash the server has the log and has forgotten who was here.
func TestChatGoesOnAfterACrash(t *testing.T) {
	log := newLasting(t)
	first := log.start(t)
	ada, _ := visit(t, first, "Ada")
	grace, graceOffset := visit(t, first, "Grace")
	_, adaOffset := kept(t, ada.Next("joined"))
	receipt := object(t, ada.Ask("message", message("kept", "m1")))

	second := log.start(t)
	ada2 := log.comeBack(t, second, "Ada", ada, adaOffset)
	hello, _ := kept(t, ada2.Next("welcome"))
	same(t, names(t, hello), []string{"Ada true"})
	grace2 := log.comeBack(t, second, "Grace", grace, graceOffset)
	content, _ := kept(t, grace2.Next("message"))
	same(t, content["text"], "kept")
	hello, _ = kept(t, grace2.Next("welcome"))
	same(t, names(t, hello), []string{"Ada true", "Grace true"})
	ada2.Next("back") // not joined: Ada has known her all the time

	// The receipt was lost, and the client sends again.
	again := object(t, ada2.Ask("message", message("kept", "m1")))
	same(t, again, map[string]any{"id": receipt["id"], "at": receipt["at"], "duplicate": true})
	object(t, ada2.Ask("message", message("new", "m2")))
	content, _ = kept(t, grace2.Next("message"))
	same(t, content["text"], "new")
	same(t, said(t, grace2, nil), []string{"kept", "new"})
}

// However much was said since: as far back as the receipts of one server go.
func TestChatKnowsOldMessagesAfterACrash(t *testing.T) {
	log := newLasting(t)
	ada, _ := visit(t, log.start(t), "Ada")
	var receipts []map[string]any
	for i := range 150 {
		receipts = append(receipts, object(t, ada.Ask("message", message(fmt.Sprint(i), fmt.Sprint("id", i)))))
	}
	ada, _ = visit(t, log.start(t), "Ada")
	for i := range receipts {
		again := object(t, ada.Ask("message", message(fmt.Sprint(i), fmt.Sprint("id", i))))
		same(t, again, map[string]any{"id": receipts[i]["id"], "at": receipts[i]["at"], "duplicate": true})
	}
	// The same id of somebody else is another message.
	eve, _ := visit(t, log.start(t), "Eve")
	same(t, object(t, eve.Ask("message", message("mine", "id7")))["duplicate"], nil)
}

// said is what history answers, text by text.
func said(t *testing.T, c *handlertest.Client, query map[string]any) (texts []string) {
	t.Helper()
	answer := object(t, c.Ask("history", "lobby", query))
	events, ok := answer["events"].([]any)
	if !ok {
		t.Fatalf("history: %v", answer)
	}
	for _, e := range events {
		event := e.(map[string]any)
		content := event["args"].([]any)[0].(map[string]any)
		if event["event"] == "image" {
			texts = append(texts, fmt.Sprint(content["name"], " ", len(content["data"].([]byte))))
		} else {
			texts = append(texts, content["text"].(string))
		}
	}
	return texts
}

func TestChatHistoryIsWhatWasSaid(t *testing.T) {
	log := newLasting(t)
	srv := log.start(t)
	ada, _ := visit(t, srv, "Ada")
	data := picture(t, 20)
	object(t, ada.Ask("message", message("one", "m1")))
	grace, _ := visit(t, srv, "Grace")
	object(t, grace.Ask("image", map[string]any{"name": "two.png", "data": data, "cid": "i1"}))
	grace.Emit("typing", true)
	grace.Goodbye()
	ada.Next("left")
	object(t, ada.Ask("message", message("three", "m2")))
	eve, _ := visit(t, srv, "Eve")
	same(t, said(t, eve, nil), []string{"one", fmt.Sprint("two.png ", len(data)), "three"})
}

func TestChatHistoryWithMoreImagesThanAPacketHolds(t *testing.T) {
	log := newLasting(t)
	srv := log.start(t)
	ada, _ := visit(t, srv, "Ada")
	data := picture(t, 8)
	var want []string
	for i := range 27 {
		object(t, ada.Ask("image", map[string]any{"name": fmt.Sprint(i), "data": data, "cid": fmt.Sprint(i)}))
		want = append(want, fmt.Sprint(i, " ", len(data)))
	}
	var got []string
	for query, more := map[string]any{"limit": 50}, true; more; {
		page := object(t, ada.Ask("history", "lobby", query))
		got = append(said(t, ada, query), got...)
		query["before"] = page["events"].([]any)[0].(map[string]any)["offset"]
		more = page["more"].(bool)
	}
	same(t, got, want)
}

// A store that takes no more says so instead of a receipt, and forgets the message: it may be sent again.
func TestChatReceiptMeansKept(t *testing.T) {
	store := &fullLog{lasting: newLasting(t)}
	srv := handlertest.Start(t, func(io *socketio.Server) {
		if err := namespaces.Register(io, namespaces.Deps{Logger: zerolog.Nop()}); err != nil {
			t.Fatal(err)
		}
		if err := io.Of("/chat").Recover(socketio.DefaultRecoveryOptions(store)); err != nil {
			t.Fatal(err)
		}
	})
	ada, _ := visit(t, srv, "Ada")
	grace, _ := visit(t, srv, "Grace")
	store.full.Store(true)
	same(t, code(t, ada.Ask("message", message("too much", "m1"))), "store_full")
	store.full.Store(false)
	receipt := object(t, ada.Ask("message", message("too much", "m1")))
	same(t, receipt["duplicate"], nil)
	grace.Next("message")
	grace.Ask("echo")
	same(t, grace.Pending(), []string{})
	same(t, said(t, grace, nil), []string{"too much"})
}

// fullLog fails every batch with events while full is set.
type fullLog struct {
	*lasting
	full atomic.Bool
}

func (l *fullLog) Submit(b *eventlog.Batch) error {
	if l.full.Load() && len(b.Records) > 0 {
		done := b.Done
		return l.lasting.Submit(&eventlog.Batch{Done: func(first uint64, _ error) {
			done(first, eventlog.ErrFull)
		}})
	}
	return l.lasting.Submit(b)
}
