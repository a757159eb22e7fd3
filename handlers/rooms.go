package handlers

import (
	"unicode/utf8"

	"holdfast/socketio"
)

// RoomLimits bound what a client may ask of rooms.
type RoomLimits struct {
	NameBytes int // length of a room's name in bytes
	PerSocket int // rooms that one socket is in at a time, its own not counted
}

// DefaultRoomLimits allow more than an application needs, and less than would hurt the server.
var DefaultRoomLimits = RoomLimits{NameBytes: 256, PerSocket: 1000}

// Join is the event join(room): the sender is in the room from its acknowledgement on.
func (l RoomLimits) Join(e *socketio.Event, room string) (OK, error) {
	if err := l.check(room); err != nil {
		return OK{}, err
	}
	if !e.Socket.InRoom(room) && len(e.Socket.Rooms()) > l.PerSocket {
		return OK{}, fail(CodeTooManyRooms, "a socket is in at most %d rooms", l.PerSocket)
	}
	if err := e.Socket.Join(room); err != nil {
		return OK{}, err
	}
	return OK{OK: true}, nil
}

// Leave is the event leave(room). It is no error to leave a room that one is not in; the room that each
// socket has for itself, by its id, can't be left.
func (l RoomLimits) Leave(e *socketio.Event, room string) (OK, error) {
	if err := l.check(room); err != nil {
		return OK{}, err
	}
	if room == e.Socket.ID() {
		return OK{}, fail(CodeForbidden, "a socket can't leave its own room")
	}
	e.Socket.Leave(room)
	return OK{OK: true}, nil
}

func (l RoomLimits) check(room string) error {
	switch {
	case room == "":
		return fail(CodeBadRequest, "a room needs a name")
	case len(room) > l.NameBytes:
		return fail(CodeTooLarge, "a room's name has at most %d bytes", l.NameBytes)
	case !utf8.ValidString(room):
		return fail(CodeBadRequest, "a room's name is text")
	}
	return nil
}
