package socketio

import (
	"errors"
)

// Errors of this package. Test with errors.Is.
var (
	// ErrDisconnected says that the socket is not, or no longer, connected.
	ErrDisconnected = errors.New("socket is disconnected")
	// ErrAckTimeout says that not every acknowledgement that was asked for came in time.
	ErrAckTimeout = errors.New("operation has timed out")
	// ErrAlreadyAcked says that the event was acknowledged before.
	ErrAlreadyAcked = errors.New("event is already acknowledged")
	// ErrReservedEvent says that the event's name is one that Socket.IO uses itself.
	ErrReservedEvent = errors.New("reserved event name")
	// ErrTooManyAttachments says that the arguments hold more binary values than Options.MaxAttachments,
	// which a stock client would refuse by closing its connection.
	ErrTooManyAttachments = errors.New("too many binary attachments")
	// ErrServerClosed says that the server was shut down.
	ErrServerClosed = errors.New("server is closed")
	// ErrClusterTimeout says that not every node of the cluster answered in time.
	ErrClusterTimeout = errors.New("a node of the cluster did not answer in time")
)

// Error is an error that is meant for the client. An event handler that returns one answers the event's
// acknowledgement with {"error": {"code", "message"}} and "data" where there is any; a connection
// middleware that returns one refuses the connection with its Message and Data.
//
// Any other error reaches the client as code "internal" and message "internal error", and its text goes
// to the log.
type Error struct {
	Code    string // for programs: short, lower case, stable
	Message string // for people
	Data    any    // more about it, encoded as an argument of Emit is

	cause error // for errors.Is and the log, never for the client
}

// Error is the message, or the code where there is none.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Message
}

// Unwrap is the error behind one that this package made, or nil.
func (e *Error) Unwrap() error { return e.cause }

var errInternal = &Error{Code: "internal", Message: "internal error"}

// forClient is the part of an error that a client may see.
func forClient(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return errInternal
}

// errorReply is how an error is encoded in an acknowledgement.
type errorReply struct {
	Error errorBody `json:"error"`
}

type errorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data,omitempty"`
}

func replyOf(err error) errorReply {
	e := forClient(err)
	return errorReply{Error: errorBody{Code: e.Code, Message: e.Error(), Data: e.Data}}
}
