package handlers

import (
	"context"
	"time"

	"holdfast/socketio"
)

// HistoryLimits bound what one history event is answered with.
type HistoryLimits struct {
	Most    int           // events
	Default int           // events, where the client names no number
	Timeout time.Duration // of reading them
}

// DefaultHistoryLimits are those of the default application.
var DefaultHistoryLimits = HistoryLimits{Most: 500, Default: 50, Timeout: 10 * time.Second}

type historyQuery struct {
	After string `json:"after"`
	Limit int    `json:"limit"`
}

// Past is the answer to history, oldest event first.
type Past struct {
	Events []any `json:"events"`
	More   bool  `json:"more"`
}

// History is the event history(room, {after?, limit?}, ack): what was sent to a room that the socket is in. The
// ack gets {events: [{offset, at, event, args}], more}: the newest, or with an offset as after those that follow it.
// more says that there are others before the first or, with after, behind the last.
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
	past, err := e.Socket.Namespace().History(ctx, socketio.HistoryQuery{Room: room, After: q.After, Limit: q.Limit})
	if err != nil {
		return err
	}
	answer := Past{Events: make([]any, 0, len(past.Events)), More: past.More}
	for _, p := range past.Events {
		args := make([]any, len(p.Args))
		for i, a := range p.Args {
			args[i] = a
		}
		answer.Events = append(answer.Events, map[string]any{
			"offset": p.Offset, "at": p.Time.UnixMilli(), "event": p.Name, "args": args,
		})
	}
	return e.Ack(answer)
}
