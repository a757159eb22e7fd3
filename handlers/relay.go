package handlers

import (
	"errors"

	"holdfast/socketio"
)

// Publish is the event publish(room, event, ...args): it sends event(...args) to everyone in room, the
// sender too if it is there. The arguments pass through as they came and are never decoded.
//
// Where the namespace is recoverable, the acknowledgement leaves once the event is in the log; elsewhere
// once it is queued for everyone in the room.
func (l RoomLimits) Publish(e *socketio.Event) error {
	var room, event string
	if err := e.Bind(&room, &event); err != nil {
		return err
	}
	if err := l.check(room); err != nil {
		return err
	}
	switch {
	case event == "":
		return fail(CodeBadRequest, "an event needs a name")
	case len(event) > l.NameBytes:
		return fail(CodeTooLarge, "an event's name has at most %d bytes", l.NameBytes)
	}
	err := e.Socket.Namespace().In(room).EmitThen(func(err error) { answer(e, err) }, event, e.Args[2:])
	if errors.Is(err, socketio.ErrReservedEvent) {
		return fail(CodeReserved, "%q is a name that Socket.IO uses itself", event)
	}
	return err
}

// answer acknowledges an event that is done, or failed.
func answer(e *socketio.Event, err error) {
	if err != nil {
		_ = e.AckError(err) // gone: nobody to tell
		return
	}
	_ = e.Ack(OK{OK: true}) // likewise
}
