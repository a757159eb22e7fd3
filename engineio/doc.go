// Package engineio is a server for Engine.IO protocol revision 4: sessions that outlive their
// transport, over HTTP long-polling and websocket, with the upgrade from the first to the second.
//
// A Server is an http.Handler. It makes a Session for every client that shakes hands, asks its Handler
// for the session's Receiver, and from then on hands over what arrives, in order, and sends what is
// given to Session.Send, in order, whichever transport carries it.
//
// # Invariants
//
//   - Every packet leaves in the order of Send, across an upgrade too.
//   - Send never blocks and never writes: it queues an immutable Frame and leaves the writing to a
//     flusher. Whatever waits in a queue when the flusher comes leaves in one write.
//   - A write to a client is tried without blocking. A client that can't take it gets a goroutine of
//     its own until it has caught up, so a slow reader never slows another.
//   - A queue is bounded in bytes (Options.SendBuffer). Past it volatile packets go first, then the session.
//   - A connection costs one goroutine, its reader, which holds no buffer while nothing arrives.
//     Heartbeats are swept by one shared clock; there is no timer for each connection.
//   - Everything that arrives is bounded before it is believed.
//   - Receiver.Close is called exactly once for each session.
//
// # Lock order
//
// Session.in (held while messages are handed over) before Session.mu before the locks of the wheel,
// the flushers and the registry, which are leaves. No lock of this package is held while a Receiver or a
// hook is called, but for Session.in, which is what makes Message calls one at a time.
package engineio
