// Package handlers holds what events do, one file a family. A handler here is bound to no namespace: the
// files in package namespaces choose which of them answer where.
//
// Input that can't be taken is answered to the one who sent it, as a *socketio.Error with one of the codes
// of this package, and reaches nobody else.
package handlers

import (
	"fmt"

	"holdfast/socketio"
)

// Codes of the errors that handlers answer with. Clients may rely on them.
const (
	CodeBadRequest   = "bad_request"    // an argument is missing or of the wrong kind
	CodeReserved     = "reserved_event" // the event's name is one that Socket.IO uses itself
	CodeTooManyRooms = "too_many_rooms"
	CodeForbidden    = "forbidden"
	CodeNameInvalid  = "name_invalid"
	CodeNameTaken    = "name_taken"
	CodeFull         = "full" // no room for one more
	CodeTooLarge     = "too_large"
	CodeNotAnImage   = "not_an_image"
)

// OK is the answer of an event that has nothing else to tell.
type OK struct {
	OK bool `json:"ok"`
}

// fail makes an error for the client.
func fail(code, format string, args ...any) *socketio.Error {
	return &socketio.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
