package queue

import (
	"errors"
	"fmt"

	"holdfast/eventlog"
)

// Error is an error with a code for machines. Test with errors.Is against the variables below; what the
// package returns has more words around them.
type Error struct {
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Message }

// The errors of the package. Those of the log (eventlog.ErrFull and so on) come through as they are.
var (
	ErrBadName      = &Error{"bad_name", "bad name"}
	ErrBadRequest   = &Error{"bad_request", "bad request"}
	ErrTooLarge     = &Error{"too_large", "message too large"}
	ErrQueueFull    = &Error{"queue_full", "queue is full"}
	ErrTooMany      = &Error{"too_many", "too many queues, groups or consumers"}
	ErrNoQueue      = &Error{"no_queue", "no such queue"}
	ErrNoGroup      = &Error{"not_subscribed", "no such subscription"}
	ErrNotDelivered = &Error{"not_delivered", "the message is not with this consumer"}
	ErrClosed       = &Error{"closed", "queues are closed"}
)

// Code is the code of an error for the wire: that of an *Error, "store_full", "store_failed" or "closed"
// for the log's, "internal" for others, "" for nil.
func Code(err error) string {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, eventlog.ErrFull):
		return "store_full"
	case errors.Is(err, eventlog.ErrClosed):
		return "closed"
	case errors.Is(err, eventlog.ErrWrite), errors.Is(err, eventlog.ErrCorrupt):
		return "store_failed"
	}
	return "internal"
}

const (
	maxName = 128 // bytes of the name of a queue, consumer or group
	maxID   = 256 // bytes of a message's id

	// DeadSuffix ends the names of the queues that dead letters go to. They are subscribed to and looked
	// into like others, but only the package itself publishes to them.
	DeadSuffix = ".dead"
)

// checkName takes what can be part of a key: printable, without spaces or controls.
func checkName(what, name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("%w: a %s has 1 to %d bytes", ErrBadName, what, maxName)
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c == 0x7f {
			return fmt.Errorf("%w: a %s has no spaces and no control characters", ErrBadName, what)
		}
	}
	return nil
}
