package socketio

import (
	"errors"
	"fmt"
	"time"

	"holdfast/eventlog"
)

// RecoveryOptions make a namespace recoverable: what its clients miss is kept in a log and handed over
// when they are back (Node's "connection state recovery", but for as long as the log lasts).
type RecoveryOptions struct {
	// Log keeps the namespace's events and sessions. It belongs to this namespace alone, and must be closed
	// by its owner, after Server.Shutdown.
	Log eventlog.Log
	// Window is how long after the end of its connection a client can be recovered.
	Window time.Duration
	// MaxEvents and MaxBytes bound what is handed over to one client. Who missed more is not recovered. MaxBytes
	// should be less than the send buffer of the session.
	MaxEvents, MaxBytes int
	// SkipMiddlewares lets a client that is recovered in without asking the connection middlewares again.
	SkipMiddlewares bool
	// MaxInFlight bounds the bytes of events that wait for their commit. Past it an emit waits.
	MaxInFlight int64
}

// DefaultRecoveryOptions are those of a window of 10 minutes.
func DefaultRecoveryOptions(log eventlog.Log) RecoveryOptions {
	return RecoveryOptions{
		Log:         log,
		Window:      10 * time.Minute,
		MaxEvents:   10_000,
		MaxBytes:    2 << 20,
		MaxInFlight: 16 << 20,
	}
}

// ErrNotKept says that an event could not be written to the log, and was sent to nobody. The error around it
// wraps the log's own.
var ErrNotKept = errors.New("event was not kept")

// errNoRecovery says that a namespace has no log.
var errNoRecovery = errors.New("namespace is not recoverable")

// Recover makes the namespace recoverable. It must come before the first client. From then on
//
//   - an event without acknowledgement that is not volatile is committed to the log before anyone gets it,
//     and everyone gets the events in the order of the log;
//   - whatever else is sent (acknowledgements, volatile events, disconnects) keeps its place among them, so
//     that an acknowledgement that follows an emit says that the event is kept;
//   - a client that lost its connection, whether it or the server crashed, gets what it missed when it is back
//     within the window: all of it, in order, each once; or it is told that it was not recovered.
func (n *Namespace) Recover(o RecoveryOptions) error {
	switch {
	case o.Log == nil:
		return errors.New("recovery: a log is needed")
	case o.Window <= 0 || o.MaxEvents <= 0 || o.MaxBytes <= 0 || o.MaxInFlight <= 0:
		return errors.New("recovery: window and bounds must be more than zero")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.outlet.flow != nil:
		return fmt.Errorf("recovery: namespace %s is recoverable already", n.name)
	case len(n.all) > 0:
		return fmt.Errorf("recovery: namespace %s has clients", n.name)
	case n.parent != nil:
		return fmt.Errorf("recovery: namespace %s is made on demand", n.name)
	}
	f := newFlow(n, o)
	n.outlet.flow = f
	n.server.reapers.Go(func() { f.reap(n.server.ctx) })
	return nil
}

// Recoverable says whether the namespace keeps what its clients miss.
func (n *Namespace) Recoverable() bool { return n.outlet.flow != nil }

// Kept is nil while the namespace's log takes events, or else says why it does not. It is nil for a namespace
// without one.
func (n *Namespace) Kept() error {
	if f := n.outlet.flow; f != nil {
		return f.log.Err()
	}
	return nil
}
