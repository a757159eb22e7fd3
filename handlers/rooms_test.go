package handlers_test

import (
	"strconv"
	"strings"
	"testing"

	"holdfast/handlers"
	"holdfast/handlers/handlertest"
	"holdfast/socketio"
)

func startRooms(t *testing.T, limits handlers.RoomLimits) *handlertest.Server {
	return handlertest.Start(t, func(io *socketio.Server) {
		n := io.Of("/")
		socketio.Handle(n, "join", limits.Join)
		socketio.Handle(n, "leave", limits.Leave)
		n.On("publish", limits.Publish)
	})
}

func TestPublishReachesTheRoomAndNobodyElse(t *testing.T) {
	srv := startRooms(t, handlers.DefaultRoomLimits)
	ada, grace, eve := srv.Connect(t, "/", nil), srv.Connect(t, "/", nil), srv.Connect(t, "/", nil)
	same(t, ada.Ask("join", "lobby"), ok)
	same(t, grace.Ask("join", "lobby"), ok)

	same(t, ada.Ask("publish", "lobby", "news", "text", 1.5, map[string]any{"b": []byte{1, 2}}), ok)
	want := []any{"text", 1.5, map[string]any{"b": []byte{1, 2}}}
	same(t, ada.Next("news"), want)
	same(t, grace.Next("news"), want)

	// One who isn't in the room may publish to it, and does not get it back.
	same(t, eve.Ask("publish", "lobby", "news"), ok)
	same(t, grace.Next("news"), []any{})
	same(t, eve.Pending(), []string{})

	same(t, grace.Ask("leave", "lobby"), ok)
	same(t, eve.Ask("publish", "lobby", "late"), ok)
	ada.Next("late")
	grace.Ask("leave", "lobby") // whatever was sent before is here by its answer
	same(t, grace.Pending(), []string{})
}

func TestPublishKeepsNumbersThatJavaScriptCannotHold(t *testing.T) {
	// Decoded and encoded again, these would come out changed.
	const text = `[12345678901234567890, 1.0, {"b":1,"a":2,"b":3}]`
	arg := &socketio.Arg{}
	if err := arg.UnmarshalJSON([]byte(text)); err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 1)
	srv := handlertest.Start(t, func(io *socketio.Server) {
		n := io.Of("/")
		n.On("publish", handlers.DefaultRoomLimits.Publish)
		n.OnAnyOutgoing(func(_ *socketio.Socket, _ string, args []socketio.Arg) { seen <- string(args[0].JSON()) })
	})
	ada := srv.Connect(t, "/", nil)
	same(t, ada.Ask("publish", ada.ID, "raw", arg), ok)
	ada.Next("raw")
	same(t, <-seen, `[12345678901234567890,1.0,{"b":1,"a":2,"b":3}]`)
}

func TestRoomsRefuseWhatDoesNotFit(t *testing.T) {
	srv := startRooms(t, handlers.RoomLimits{NameBytes: 8, PerSocket: 2})
	ada := srv.Connect(t, "/", nil)
	for _, c := range []struct {
		event string
		args  []any
		code  string
	}{
		{"join", nil, handlers.CodeBadRequest},
		{"join", []any{7}, handlers.CodeBadRequest},
		{"join", []any{nil}, handlers.CodeBadRequest},
		{"join", []any{""}, handlers.CodeBadRequest},
		{"join", []any{[]byte("room")}, handlers.CodeBadRequest},
		{"join", []any{strings.Repeat("x", 9)}, handlers.CodeTooLarge},
		{"leave", []any{strings.Repeat("x", 9)}, handlers.CodeTooLarge},
		{"leave", []any{map[string]any{}}, handlers.CodeBadRequest},
		{"leave", nil, handlers.CodeBadRequest},
		{"publish", nil, handlers.CodeBadRequest},
		{"publish", []any{"room"}, handlers.CodeBadRequest},
		{"publish", []any{"room", 3}, handlers.CodeBadRequest},
		{"publish", []any{"room", ""}, handlers.CodeBadRequest},
		{"publish", []any{"", "event"}, handlers.CodeBadRequest},
		{"publish", []any{strings.Repeat("x", 9), "event"}, handlers.CodeTooLarge},
		{"publish", []any{"room", strings.Repeat("x", 9)}, handlers.CodeTooLarge},
		{"publish", []any{"room", "connect"}, handlers.CodeReserved},
	} {
		if code := errorCode(ada.Ask(c.event, c.args...)); code != c.code {
			t.Errorf("%s(%v): code %q, want %q", c.event, c.args, code, c.code)
		}
	}
}

func TestReservedEventsAreNotPublished(t *testing.T) {
	srv := startRooms(t, handlers.DefaultRoomLimits)
	ada := srv.Connect(t, "/", nil)
	for _, event := range []string{"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"} {
		if code := errorCode(ada.Ask("publish", ada.ID, event)); code != handlers.CodeReserved {
			t.Errorf("%s: code %q", event, code)
		}
	}
	same(t, ada.Pending(), []string{})
}

func TestRoomsAreBounded(t *testing.T) {
	srv := startRooms(t, handlers.RoomLimits{NameBytes: 64, PerSocket: 3})
	ada := srv.Connect(t, "/", nil)
	for i := range 3 {
		same(t, ada.Ask("join", "room "+strconv.Itoa(i)), ok)
	}
	same(t, ada.Ask("join", "room 1"), ok) // again is no other room
	same(t, errorCode(ada.Ask("join", "one too many")), handlers.CodeTooManyRooms)
	same(t, ada.Ask("leave", "room 0"), ok)
	same(t, ada.Ask("join", "room 3"), ok)
}

func TestOwnRoomStays(t *testing.T) {
	srv := startRooms(t, handlers.DefaultRoomLimits)
	ada := srv.Connect(t, "/", nil)
	same(t, errorCode(ada.Ask("leave", ada.ID)), handlers.CodeForbidden)
	same(t, ada.Ask("publish", ada.ID, "still"), ok)
	ada.Next("still")
}
