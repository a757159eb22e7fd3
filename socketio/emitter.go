package socketio

import (
	"context"
	"time"
)

// SocketEmitter emits to one socket in a certain way. It is a value: each method returns another, and the
// socket itself is not changed.
type SocketEmitter struct {
	s       *Socket
	flags   sendFlags
	timeout time.Duration
}

// Volatile makes events be dropped when the client is not ready for them.
func (e SocketEmitter) Volatile() SocketEmitter {
	e.flags.volatile = true
	return e
}

// Compress says whether events may be compressed.
func (e SocketEmitter) Compress(on bool) SocketEmitter {
	e.flags.noCompress = !on
	return e
}

// Timeout bounds the wait for acknowledgements; 0 means Options.AckTimeout.
func (e SocketEmitter) Timeout(d time.Duration) SocketEmitter {
	e.timeout = d
	return e
}

// Emit is Socket.Emit.
func (e SocketEmitter) Emit(event string, args ...any) error {
	return e.s.emit(e.flags, event, args)
}

// EmitWithAck is Socket.EmitWithAck.
func (e SocketEmitter) EmitWithAck(ctx context.Context, event string, args ...any) (Args, error) {
	return e.s.emitWithAck(ctx, e.timeout, e.flags, event, args)
}

// EmitAck is Socket.EmitAck, with the timeout set before.
func (e SocketEmitter) EmitAck(event string, args []any, f func(args Args, err error)) error {
	return e.s.emitAck(e.timeout, e.flags, event, args, f)
}

// Broadcast starts a broadcast to everyone but the socket, with the same flags.
func (e SocketEmitter) Broadcast() Broadcast {
	return Broadcast{ns: e.s.ns, sender: e.s, flags: e.flags, timeout: e.timeout}
}

// To starts a broadcast to the rooms, but not to the socket, with the same flags.
func (e SocketEmitter) To(rooms ...string) Broadcast { return e.Broadcast().To(rooms...) }

// In is To.
func (e SocketEmitter) In(rooms ...string) Broadcast { return e.Broadcast().To(rooms...) }

// Except starts a broadcast to all who are in none of the rooms, but not to the socket.
func (e SocketEmitter) Except(rooms ...string) Broadcast { return e.Broadcast().Except(rooms...) }
