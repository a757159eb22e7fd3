package handlers

import (
	"context"
	"errors"
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
	past, err := e.Socket.Namespace().History(ctx, socketio.HistoryQuery{Room: room, After: q.After, Before: q.Before, Limit: q.Limit})
	if err != nil {
		return err
	}
	page := historyPage{History: past, forward: q.After != ""}
	page.shorten(page.within(l.Bytes))
	for {
		err := e.Ack(page.answer())
		if !errors.Is(err, socketio.ErrTooManyAttachments) || len(page.Events) < 2 {
			return err
		}
		page.shorten(len(page.Events) / 2)
	}
}

// newest reads up to most of a room's newest events. It stops short of that, at some tens of megabytes, where they
// are large.
func newest(ctx context.Context, n *socketio.Namespace, room string, most int) (socketio.History, error) {
	const enough = 8 << 20
	for limit := 64; ; limit *= 4 {
		past, err := n.History(ctx, socketio.HistoryQuery{Room: room, Limit: min(limit, most)})
		page := historyPage{History: past}
		if err != nil || !past.More || limit >= most || page.within(enough) < len(past.Events) {
			return past, err
		}
	}
}

// historyPage is a part of a room's history. It is shortened at its far end: the last events of one that goes forward,
// the first of another.
type historyPage struct {
	socketio.History
	forward bool
}

// within is how many events, counted from the near end, have so many bytes together; at least one.
func (p *historyPage) within(bytes int) int {
	for i := range p.Events {
		at := i
		if !p.forward {
			at = len(p.Events) - 1 - i
		}
		if bytes -= sizeOf(p.Events[at].Args); bytes < 0 && i > 0 {
			return i
		}
	}
	return len(p.Events)
}

func (p *historyPage) shorten(to int) {
	drop := len(p.Events) - to
	switch {
	case drop <= 0:
		return
	case p.forward:
		p.Events = p.Events[:to]
	default:
		p.Events = p.Events[drop:]
	}
	p.More = true
}

func (p *historyPage) answer() Past {
	answer := Past{Events: make([]any, 0, len(p.Events)), More: p.More}
	switch {
	case !p.More:
	case len(p.Events) == 0:
		answer.Next = p.Next
	case p.forward:
		answer.Next = p.Events[len(p.Events)-1].Offset
	default:
		answer.Next = p.Events[0].Offset
	}
	for _, e := range p.Events {
		args := make([]any, len(e.Args))
		for i, a := range e.Args {
			args[i] = a
		}
		answer.Events = append(answer.Events, map[string]any{
			"offset": e.Offset, "at": e.Time.UnixMilli(), "event": e.Name, "args": args,
		})
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
