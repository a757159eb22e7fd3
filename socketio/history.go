package socketio

import (
	"context"
	"fmt"
	"slices"
	"time"

	"holdfast/eventlog"
)

// PastEvent is an event as a recoverable namespace keeps it.
type PastEvent struct {
	Offset string // as clients get it
	Time   time.Time
	Name   string
	Args   Args
}

// HistoryQuery asks for past events of a room.
type HistoryQuery struct {
	Room string
	// After is the offset before the first event that is wanted; without it the newest are returned.
	After string
	Limit int // at most; must be more than zero
}

// History are past events, oldest first.
type History struct {
	Events []PastEvent
	// More says that there are others: after the last of Events, or, for a query without After, before the first.
	More bool
}

// historyPage is how many events of the log are looked at in one go.
const historyPage = 256

// History returns past events that were sent to a room, from the log of a recoverable namespace: not those to the whole
// namespace, and none that was volatile or acknowledged. Who may see them is for the caller to know. Errors: an *Error
// with the code "no_history" where nothing is kept, "bad_offset", or "trimmed" when the log no longer holds what
// follows the offset; and those of the log.
func (n *Namespace) History(ctx context.Context, q HistoryQuery) (History, error) {
	f := n.outlet.flow
	if f == nil {
		return History{}, &Error{Code: "no_history", Message: "the namespace keeps no events", cause: errNoRecovery}
	}
	if q.Limit <= 0 {
		return History{}, &Error{Code: "bad_request", Message: "limit must be more than zero"}
	}
	query := eventlog.Query{Rooms: []string{q.Room}, Limit: historyPage}
	if q.After == "" {
		query.Reverse = true
	} else {
		p, err := eventlog.ParsePosition(q.After)
		if err != nil || p.Epoch != f.log.Epoch() || p.Seq > f.log.Head() {
			return History{}, &Error{Code: "bad_offset", Message: "the offset is not one of this log", cause: err}
		}
		query.After = p.Seq
		if query.After+1 < f.log.First() {
			return History{}, &Error{Code: "trimmed", Message: "what followed the offset is no longer kept"}
		}
	}
	var out History
	for {
		page, err := f.log.Read(ctx, query)
		if err != nil {
			return History{}, fmt.Errorf("read the history: %w", err)
		}
		for i := range page.Events {
			e := &page.Events[i]
			if !slices.Contains(e.Rooms, q.Room) {
				continue
			}
			if len(out.Events) == q.Limit {
				out.More = true
				break
			}
			past, err := f.pastEvent(e)
			if err != nil {
				return History{}, err
			}
			out.Events = append(out.Events, past)
		}
		if out.More || !page.More {
			break
		}
		if query.Reverse {
			query.Until = page.Next
		} else {
			query.After = page.Next
		}
	}
	if query.Reverse {
		slices.Reverse(out.Events)
	}
	return out, nil
}

func (f *flow) pastEvent(e *eventlog.Event) (PastEvent, error) {
	data, bin, err := unmarshalEvent(e.Data)
	if err != nil {
		return PastEvent{}, err
	}
	data = slices.Clone(data)
	args, err := scanArray(data, nil)
	if err != nil || len(args) == 0 {
		return PastEvent{}, errKeptEvent
	}
	if len(bin) > 0 {
		own := make([][]byte, len(bin))
		for i := range bin {
			own[i] = slices.Clone(bin[i])
		}
		if err := bindPlaceholders(args, len(own), &attachments{list: own}); err != nil {
			return PastEvent{}, err
		}
	}
	var event Event
	event.resolve(emptyTable, args[0].raw)
	return PastEvent{
		Offset: eventlog.Position{Epoch: f.log.Epoch(), Seq: e.Seq}.String(),
		Time:   e.Time,
		Name:   event.Name,
		Args:   args[1:],
	}, nil
}
