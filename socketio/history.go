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

// HistoryQuery asks for past events of a room: the newest, those after an offset, or those before one.
type HistoryQuery struct {
	Room          string
	After, Before string // offsets; not both
	Limit         int    // at most; must be more than zero
}

// History are past events, oldest first.
type History struct {
	Events []PastEvent
	// More says that there are others in the direction of the query: after the last of Events where it has an After,
	// before the first otherwise. Next is the offset to ask with then. There may be more although Events is short
	// or empty, where what was sent to the room lies far apart in the log.
	More bool
	Next string
}

// historyPage is how many events of the log are looked at in one go, and historyPages how often for one call: what was
// sent to the whole namespace lies between a room's events.
const (
	historyPage  = 256
	historyPages = 64
)

// History returns past events that were sent to a room, from the log of a recoverable namespace: not those to the whole
// namespace, and none that was volatile or acknowledged. Who may see them is for the caller to know. Errors: an *Error
// with the code "no_history" where nothing is kept, "bad_request", "bad_offset", or "trimmed" when the log no longer
// holds what follows the offset; and those of the log.
func (n *Namespace) History(ctx context.Context, q HistoryQuery) (History, error) {
	f := n.outlet.flow
	if f == nil {
		return History{}, &Error{Code: "no_history", Message: "the namespace keeps no events", cause: errNoRecovery}
	}
	query, err := f.historyQuery(q)
	if err != nil {
		return History{}, err
	}
	var out History
	next := uint64(0)
	for looked := 0; !out.More; looked++ {
		if query.Reverse && looked > 0 && query.Until == 0 {
			break
		}
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
			next = e.Seq
		}
		if out.More || !page.More {
			break
		}
		if query.Reverse {
			query.Until, next = page.Next, page.Next+1
		} else {
			query.After, next = page.Next, page.Next
		}
		out.More = looked == historyPages
	}
	if out.More {
		out.Next = eventlog.Position{Epoch: f.log.Epoch(), Seq: next}.String()
	}
	if query.Reverse {
		slices.Reverse(out.Events)
	}
	return out, nil
}

// historyQuery is the query to the log.
func (f *flow) historyQuery(q HistoryQuery) (eventlog.Query, error) {
	query := eventlog.Query{Rooms: []string{q.Room}, Limit: historyPage, Reverse: q.After == ""}
	offset := q.After + q.Before
	switch {
	case q.Limit <= 0:
		return query, &Error{Code: "bad_request", Message: "limit must be more than zero"}
	case q.After != "" && q.Before != "":
		return query, &Error{Code: "bad_request", Message: "after and before exclude each other"}
	case offset == "":
		return query, nil
	}
	p, err := eventlog.ParsePosition(offset)
	if err != nil || p.Epoch != f.log.Epoch() || p.Seq > f.log.Head()+1 {
		return query, &Error{Code: "bad_offset", Message: "the offset is not one of this log", cause: err}
	}
	switch {
	case query.Reverse && p.Seq <= f.log.First():
		query.Rooms, query.After = []string{}, f.log.Head() // nothing lies before
	case query.Reverse:
		query.Until = p.Seq - 1
	case p.Seq+1 < f.log.First():
		return query, &Error{Code: "trimmed", Message: "what followed the offset is no longer kept"}
	default:
		query.After = p.Seq
	}
	return query, nil
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
