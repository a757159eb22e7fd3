package socketio

import (
	"slices"
	"sync/atomic"

	"github.com/go-json-experiment/json/jsontext"
)

// eventOverhead is what an event that waits counts beyond its text, in bytes.
const eventOverhead = 320

// Event is an event that a client sent. It may be kept, to acknowledge it later or to look at its
// arguments again.
type Event struct {
	Socket *Socket
	Name   string
	Args   Args

	handler *eventHandler
	next    *Event // in the inbox
	cost    int    // in the inbox, in bytes
	ackID   uint64
	wantAck bool
	acked   atomic.Bool
	first   [3]Arg // backs Args and the name while they are few
	text    [inlineText]byte
}

// inlineText is how long the text of an event may be to be kept in the event itself.
const inlineText = 104

// newEvent parses the payload of an EVENT, of which it keeps a copy. name is the event's name as JSON.
func newEvent(payload []byte) (e *Event, name []byte, err error) {
	e = &Event{}
	if len(payload) <= len(e.text) {
		payload = e.text[:copy(e.text[:], payload)]
	} else {
		payload = slices.Clone(payload)
	}
	args, err := scanArray(payload, e.first[:0])
	if err != nil {
		return nil, nil, err
	}
	if len(args) == 0 {
		return nil, nil, errPayload
	}
	name = args[0].raw
	switch c := name[0]; {
	case c == '"':
		if isReservedQuoted(name) {
			return nil, nil, errReservedName
		}
	case c != '-' && !isDigit(c): // a number will do, as in Node's parser
		return nil, nil, errPayload
	}
	e.Args = args[1:]
	e.cost = len(payload) + eventOverhead
	if len(args) > len(e.first) {
		e.cost += 32 * cap(args)
	}
	return e, name, nil
}

func isReservedQuoted(name []byte) bool {
	if s, ok := plainBytes(name); ok {
		return isReservedEvent(string(s)) // the compiler makes no copy for this
	}
	return isReservedEvent(unquote(name))
}

// plainBytes is the inside of a JSON string without escapes.
func plainBytes(quoted []byte) ([]byte, bool) {
	for _, c := range quoted {
		if c == '\\' {
			return nil, false
		}
	}
	return quoted[1 : len(quoted)-1], true
}

// unquote is the value of a scanned JSON string. Lone surrogates become the replacement character.
func unquote(quoted []byte) string {
	s, _ := jsontext.AppendUnquote(nil, quoted) // a scanned string has no other error
	return string(s)
}

// resolve gives the event its name and, if there is one, its handler.
func (e *Event) resolve(t *table, name []byte) {
	if name[0] == '"' {
		if plain, ok := plainBytes(name); ok {
			if h := t.events[string(plain)]; h != nil {
				e.handler, e.Name = h, h.name
				return
			}
			e.Name = string(plain)
			return
		}
		e.Name = unquote(name)
	} else {
		e.Name = numberName(name)
	}
	e.handler = t.events[e.Name]
}

// numberName is how JavaScript writes a number that is used as an event name.
func numberName(raw []byte) string {
	f, err := decodeAny(raw, nil)
	if f, ok := f.(float64); ok && err == nil {
		return jsontext.Float(f).String()
	}
	return string(raw)
}

// Bind decodes the first arguments; see Args.Bind.
func (e *Event) Bind(dst ...any) error { return e.Args.Bind(dst...) }

// HasAck says whether the client asked for an acknowledgement.
func (e *Event) HasAck() bool { return e.wantAck }

// Ack answers the event. It may be called at any time and from any goroutine; the first call counts, later
// ones are ErrAlreadyAcked. It does nothing where no acknowledgement was asked for. A value that JSON can't
// hold is an error, and another call may follow.
func (e *Event) Ack(args ...any) error {
	if !e.wantAck {
		return nil
	}
	if e.acked.Load() {
		return ErrAlreadyAcked
	}
	n := e.Socket.ns
	p, err := encodeAck(n.name, e.ackID, args, n.server.opts.MaxAttachments)
	if err != nil {
		return err
	}
	if !e.acked.CompareAndSwap(false, true) {
		return ErrAlreadyAcked
	}
	return n.outlet.ack(e.Socket, p)
}

// AckError answers the event as if its handler had returned err: for handlers that answer later.
func (e *Event) AckError(err error) error { return e.Ack(replyOf(err)) }
