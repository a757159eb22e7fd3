package handlers

import (
	"context"
	"errors"
	"slices"
	"time"

	"holdfast/socketio"
)

// HistoryLimits bound what one history event is answered with.
type HistoryLimits struct {
	Most    int           // events
	Default int           // events, where the client names no number
	Bytes   int           // of the events, of which there is one in any case
	Timeout time.Duration // of reading them
}

// DefaultHistoryLimits are those of the default application. An answer fits well into the send buffer of a session,
// and is through before an ordinary client's ack timeout on a slow line.
var DefaultHistoryLimits = HistoryLimits{Most: 500, Default: 50, Bytes: 512 << 10, Timeout: 10 * time.Second}

type historyQuery struct {
	After  string `json:"after"`
	Before string `json:"before"`
	Limit  int    `json:"limit"`
}

// Past is the answer to history, oldest event first.
type Past struct {
	Events []any  `json:"events"`
	More   bool   `json:"more"`
	Next   string `json:"next,omitempty"`
}

// History is the event history(room, {after?, before?, limit?}, ack): what was sent to a room that the socket is in. The
// ack gets {events: [{offset, at, event, args}], more}: the newest, or with an offset as before those that precede it, or
// as after those that follow it. more says that there are others, before the first or, with after, behind the last, and
// next is the offset to ask with for them.
//
// There may be fewer events than limit, or none, with more all the same: an answer holds no more bytes than Bytes, no
// more binary values than the server puts into one packet, and is not looked for too long.
func (l HistoryLimits) History(e *socketio.Event) error {
	var room string
	var q historyQuery
	err := e.Args.Bind(&room)
	if err == nil && len(e.Args) > 1 {
		err = e.Args.Bind(&room, &q)
	}
	switch {
	case err != nil:
		return err
	case q.Limit < 0 || q.Limit > l.Most:
		return fail(CodeBadRequest, "limit is from 1 to %d", l.Most)
	case !e.Socket.InRoom(room):
		return fail(CodeForbidden, "only who is in a room sees what was said there")
	case q.Limit == 0:
		q.Limit = l.Default
	}
	ctx, cancel := context.WithTimeout(e.Socket.Context(), l.Timeout)
	defer cancel()
	page, err := l.read(ctx, e.Socket.Namespace(), socketio.HistoryQuery{Room: room, After: q.After, Before: q.Before, Limit: q.Limit})
	if err != nil {
		return err
	}
	for {
		err := e.Ack(page.answer())
		if !errors.Is(err, socketio.ErrTooManyAttachments) || len(page.events) < 2 {
			return err
		}
		page.shorten(len(page.events) / 2)
	}
}

// historyPage is a part of a room's history in the direction of the query: the newest event first, unless it goes
// forward.
type historyPage struct {
	forward bool
	events  []socketio.PastEvent
	next    string // the offset to go on with; "" at the end
}

// historyStep is how many events are read at a time, since each may be as large as a payload.
const historyStep = 16

// read reads as much of what q asks for as fits.
func (l HistoryLimits) read(ctx context.Context, n *socketio.Namespace, q socketio.HistoryQuery) (*historyPage, error) {
	p := &historyPage{forward: q.After != ""}
	bytes := 0
	for limit := q.Limit; ; {
		q.Limit = min(historyStep, limit-len(p.events))
		past, err := n.History(ctx, q)
		if err != nil {
			return nil, err
		}
		if !p.forward {
			slices.Reverse(past.Events)
		}
		for _, e := range past.Events {
			bytes += sizeOf(e.Args)
			if bytes > l.Bytes && len(p.events) > 0 {
				p.shorten(len(p.events))
				return p, nil
			}
			p.events = append(p.events, e)
		}
		p.next = past.Next
		switch {
		case !past.More || len(p.events) == limit || len(past.Events) == 0:
			return p, nil
		case p.forward:
			q.After = past.Next
		default:
			q.Before = past.Next
		}
	}
}

// shorten ends the page after the first to events, with others behind them.
func (p *historyPage) shorten(to int) {
	p.events = p.events[:to]
	p.next = p.events[to-1].Offset
}

func (p *historyPage) answer() Past {
	answer := Past{Events: make([]any, 0, len(p.events)), More: p.next != "", Next: p.next}
	for _, e := range p.events {
		args := make([]any, len(e.Args))
		for i, a := range e.Args {
			args[i] = a
		}
		answer.Events = append(answer.Events, map[string]any{
			"offset": e.Offset, "at": e.Time.UnixMilli(), "event": e.Name, "args": args,
		})
	}
	if !p.forward {
		slices.Reverse(answer.Events)
	}
	return answer
}

// sizeOf is about how many bytes arguments have, binary values too.
func sizeOf(args socketio.Args) int {
	n := 0
	for _, a := range args {
		n += len(a.JSON())
		var v any
		if a.Bind(&v) == nil {
			n += binarySize(v)
		}
	}
	return n
}

func binarySize(v any) int {
	n := 0
	switch v := v.(type) {
	case []byte:
		n = len(v)
	case []any:
		for _, item := range v {
			n += binarySize(item)
		}
	case map[string]any:
		for _, item := range v {
			n += binarySize(item)
		}
	}
	return n
}
