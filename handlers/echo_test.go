package handlers_test

import (
	"reflect"
	"testing"

	"holdfast/handlers"
	"holdfast/handlers/handlertest"
	"holdfast/socketio"
)

var ok = []any{map[string]any{"ok": true}}

// errorCode is the code of an error acknowledgement, or "" for any other.
func errorCode(answer []any) string {
	if len(answer) != 1 {
		return ""
	}
	reply, _ := answer[0].(map[string]any)
	body, _ := reply["error"].(map[string]any)
	code, _ := body["code"].(string)
	return code
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %#v\nwant %#v", got, want)
	}
}

func TestEcho(t *testing.T) {
	srv := handlertest.Start(t, func(io *socketio.Server) { io.Of("/").On("echo", handlers.Echo) })
	ada := srv.Connect(t, "/", nil)
	for _, args := range [][]any{
		{},
		{"one", 2.0, nil, true},
		{map[string]any{"deep": []any{[]byte{0, 1, 255}, "ü"}}, []byte("two")},
	} {
		got := ada.Ask("echo", args...)
		if len(args) == 0 && len(got) == 0 {
			continue
		}
		same(t, got, args)
	}
	ada.Emit("echo", "without", []byte("ack"))
	same(t, ada.Next("echo"), []any{"without", []byte("ack")})
}
