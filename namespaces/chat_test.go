package namespaces_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"reflect"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"holdfast/handlers"
	"holdfast/handlers/handlertest"
	"holdfast/namespaces"
	"holdfast/socketio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T) *handlertest.Server {
	return handlertest.Start(t, func(io *socketio.Server) {
		if err := namespaces.Register(io, namespaces.Deps{Logger: zerolog.Nop()}); err != nil {
			t.Fatal(err)
		}
	})
}

func auth(name string) map[string]any {
	return map[string]any{"name": name, "key": "the secret key of " + name}
}

// enter connects somebody and reads their welcome.
func enter(t *testing.T, srv *handlertest.Server, name string) *handlertest.Client {
	t.Helper()
	c := srv.Connect(t, "/chat", auth(name))
	if hello := object(t, c.Next("welcome")); hello["name"] != name {
		t.Fatalf("welcomed as %v", hello["name"])
	}
	return c
}

func object(t *testing.T, args []any) map[string]any {
	t.Helper()
	if len(args) == 1 {
		if o, ok := args[0].(map[string]any); ok {
			return o
		}
	}
	t.Fatalf("not one object: %#v", args)
	return nil
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %#v\nwant %#v", got, want)
	}
}

func code(t *testing.T, answer []any) any {
	t.Helper()
	body, _ := object(t, answer)["error"].(map[string]any)
	return body["code"]
}

func message(text, cid string) map[string]any { return map[string]any{"text": text, "cid": cid} }

func TestRoot(t *testing.T) {
	srv := start(t)
	ada := srv.Connect(t, "/", nil)
	same(t, ada.Ask("echo", "a", []byte("b")), []any{"a", []byte("b")})
	same(t, ada.Ask("join", "lobby"), []any{map[string]any{"ok": true}})
	same(t, ada.Ask("publish", "lobby", "news", 1.0), []any{map[string]any{"ok": true}})
	same(t, ada.Next("news"), []any{1.0})
	same(t, ada.Ask("leave", "lobby"), []any{map[string]any{"ok": true}})
}

func TestChatTellsWhoIsHere(t *testing.T) {
	srv := start(t)
	ada := srv.Connect(t, "/chat", auth("Ada"))
	hello := object(t, ada.Next("welcome"))
	same(t, hello, map[string]any{
		"name":   "Ada",
		"people": []any{map[string]any{"name": "Ada", "here": true}},
		"limits": map[string]any{"text": 2000.0, "image": 700000.0},
	})
	grace := enter(t, srv, "Grace")
	same(t, ada.Next("joined"), []any{map[string]any{"name": "Grace"}})

	grace.Drop()
	same(t, ada.Next("away"), []any{map[string]any{"name": "Grace"}})
	grace = srv.Connect(t, "/chat", auth("Grace"))
	people := object(t, grace.Next("welcome"))["people"].([]any)
	if len(people) != 2 {
		t.Fatalf("people: %v", people)
	}
	same(t, ada.Next("back"), []any{map[string]any{"name": "Grace"}})
	grace.Goodbye()
	same(t, ada.Next("left"), []any{map[string]any{"name": "Grace"}})
	same(t, ada.Pending(), []string{})
}

func TestChatRefusesNames(t *testing.T) {
	srv := start(t)
	enter(t, srv, "Ada")
	for _, c := range []struct {
		auth any
		code string
	}{
		{nil, handlers.CodeNameInvalid},
		{map[string]any{}, handlers.CodeNameInvalid},
		{map[string]any{"name": 5}, handlers.CodeNameInvalid},
		{map[string]any{"name": "<b>", "key": "0123456789abcdef"}, handlers.CodeNameInvalid},
		{map[string]any{"name": "Eve"}, handlers.CodeBadRequest},
		{map[string]any{"name": "Eve", "key": "short"}, handlers.CodeBadRequest},
		{map[string]any{"name": "Eve", "key": strings.Repeat("k", 65)}, handlers.CodeBadRequest},
		{map[string]any{"name": "ada", "key": "0123456789abcdef"}, handlers.CodeNameTaken},
	} {
		client, refusal := srv.TryConnect(t, "/chat", c.auth)
		if client != nil {
			t.Fatalf("%v got in", c.auth)
		}
		data, _ := refusal["data"].(map[string]any)
		if data["code"] != c.code || refusal["message"] == "" {
			t.Errorf("%v: %v, want code %s", c.auth, refusal, c.code)
		}
	}
}

func TestChatNewConnectionTakesTheNameOver(t *testing.T) {
	srv := start(t)
	grace := enter(t, srv, "Grace")
	old := enter(t, srv, "Ada")
	enter(t, srv, "Ada")
	old.Next("replaced")
	old.Disconnected()
	same(t, code(t, grace.Ask("message", message("", "1"))), handlers.CodeBadRequest)
	same(t, grace.Pending(), []string{"joined"}) // once, and nobody left or came back
}

func TestChatMessagesReachTheOthersOnce(t *testing.T) {
	srv := start(t)
	ada, grace := enter(t, srv, "Ada"), enter(t, srv, "Grace")
	receipt := object(t, ada.Ask("message", message("Hello", "m1")))
	if receipt["id"] == "" || receipt["at"].(float64) == 0 {
		t.Fatalf("receipt: %v", receipt)
	}
	got := object(t, grace.Next("message"))
	same(t, got, map[string]any{"from": "Ada", "text": "Hello", "cid": "m1", "id": receipt["id"], "at": receipt["at"]})

	again := object(t, ada.Ask("message", message("Hello", "m1")))
	same(t, again["id"], receipt["id"])
	same(t, again["duplicate"], true)
	// The same id of somebody else is another message.
	object(t, grace.Ask("message", message("Mine", "m1")))
	same(t, object(t, ada.Next("message"))["text"], "Mine")
	same(t, grace.Pending(), []string{})
	same(t, ada.Pending(), []string{"joined"})
}

func TestChatMessagesAfterAReconnectionAreNotDoubled(t *testing.T) {
	srv := start(t)
	ada, grace := enter(t, srv, "Ada"), enter(t, srv, "Grace")
	ada.Emit("message", message("Hello", "m1")) // its ack is lost with the connection
	grace.Next("message")
	ada.Drop()
	grace.Next("away")
	ada = enter(t, srv, "Ada")
	grace.Next("back")
	same(t, object(t, ada.Ask("message", message("Hello", "m1")))["duplicate"], true)
	same(t, grace.Pending(), []string{})
}

func TestChatKeepsOrder(t *testing.T) {
	srv := start(t)
	ada, grace := enter(t, srv, "Ada"), enter(t, srv, "Grace")
	for i := range 500 {
		ada.Emit("message", message(fmt.Sprint(i), fmt.Sprint("id", i)))
	}
	for i := range 500 {
		same(t, object(t, grace.Next("message"))["text"], fmt.Sprint(i))
	}
}

func TestChatTyping(t *testing.T) {
	srv := start(t)
	ada, grace := enter(t, srv, "Ada"), enter(t, srv, "Grace")
	ada.Next("joined")
	ada.Emit("typing", true)
	same(t, grace.Next("typing"), []any{map[string]any{"name": "Ada", "on": true}})
	ada.Emit("typing", map[string]any{"on": "yes"})
	ada.Ask("echo")
	same(t, grace.Pending(), []string{})
}

func picture(t *testing.T, side int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, side, side))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestChatImages(t *testing.T) {
	srv := start(t)
	ada, grace := enter(t, srv, "Ada"), enter(t, srv, "Grace")
	data := picture(t, 20)
	receipt := object(t, ada.Ask("image", map[string]any{"name": "a.png", "data": data, "cid": "i1"}))
	same(t, object(t, grace.Next("image")), map[string]any{
		"from": "Ada", "type": "image/png", "name": "a.png", "data": data, "cid": "i1", "id": receipt["id"], "at": receipt["at"],
	})
	object(t, ada.Ask("image", map[string]any{"name": strings.Repeat("é", 200), "data": data, "cid": "i2"}))
	same(t, object(t, grace.Next("image"))["name"], strings.Repeat("é", 80))
}

func TestChatRefusesWhatDoesNotFit(t *testing.T) {
	srv := start(t)
	ada, grace := enter(t, srv, "Ada"), enter(t, srv, "Grace")
	for _, c := range []struct {
		event string
		arg   any
		code  string
	}{
		{"message", "text", handlers.CodeBadRequest},
		{"message", map[string]any{"text": 1, "cid": "x"}, handlers.CodeBadRequest},
		{"message", message(" \n", "x"), handlers.CodeBadRequest},
		{"message", message("no id", ""), handlers.CodeBadRequest},
		{"message", message("long id", strings.Repeat("x", 65)), handlers.CodeBadRequest},
		{"message", message(strings.Repeat("ü", 2001), "x"), handlers.CodeTooLarge},
		{"image", map[string]any{"data": "not base64", "cid": "x"}, handlers.CodeBadRequest},
		{"image", map[string]any{"data": []byte("<svg onload='alert(1)'/>"), "cid": "x"}, handlers.CodeNotAnImage},
		{"image", map[string]any{"data": []byte{}, "cid": "x"}, handlers.CodeNotAnImage},
		{"image", map[string]any{"cid": "x"}, handlers.CodeNotAnImage},
		{"image", map[string]any{"data": append(picture(t, 1), make([]byte, 700_000)...), "cid": "x"}, handlers.CodeTooLarge},
		{"image", map[string]any{"data": picture(t, 1)}, handlers.CodeBadRequest},
	} {
		if got := code(t, ada.Ask(c.event, c.arg)); got != c.code {
			t.Errorf("%s %.60v: code %v, want %s", c.event, c.arg, got, c.code)
		}
	}
	object(t, ada.Ask("message", message(strings.Repeat("ü", 2000), "fits")))
	grace.Next("message")
	same(t, grace.Pending(), []string{}) // none of the others got through
}
