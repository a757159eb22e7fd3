package handlers

import (
	"context"
	"crypto/subtle"
	"errors"
	"sync"
	"time"

	"holdfast/queue"
	"holdfast/socketio"
)

// Queues are the events by which clients use durable queues:
//
//	publish(queue, body, {id?, ttl?, delay?})           ack {ok, seq, duplicate?}: the message is durable
//	subscribe(queue, {consumer, group?, from?, prefetch?})  ack {ok}; then message(...) events come
//	unsubscribe(queue, {consumer, group?, forget?})     ack {ok}
//	stats(queue?), peek(queue, {after?, limit?}), purge(queue)
//
// The server emits message({queue, id?, seq, body, attempt}, done), and the client answers done(),
// done({retry: ms}) or done({reject: reason}). Times are in milliseconds. An error reaches an ack as
// {error: {code, message}}, with the codes of package queue.
type Queues struct {
	manager *queue.Manager
	token   string
	answer  time.Duration // how long a done is listened for

	mu    sync.Mutex
	works map[*socketio.Socket]map[workKey]*queue.Subscription
}

// workKey is what a socket consumes as.
type workKey struct{ queue, consumer, group string }

const (
	// maxSubscriptions bounds what one socket consumes from.
	maxSubscriptions = 100
	// queueWait bounds the wait for the store.
	queueWait = 30 * time.Second
)

// NewQueues returns the events for a manager. token, if not empty, is what clients must give as auth.token.
// A done that comes later than answer after its message is not listened to.
func NewQueues(m *queue.Manager, token string, answer time.Duration) *Queues {
	return &Queues{manager: m, token: token, answer: answer, works: map[*socketio.Socket]map[workKey]*queue.Subscription{}}
}

// Admit is a connection middleware: it lets in who knows the token.
func (q *Queues) Admit(s *socketio.Socket) error {
	if q.token == "" {
		return nil
	}
	var auth struct {
		Token string `json:"token"`
	}
	if a := s.Handshake().Auth; !a.IsZero() {
		if err := a.Bind(&auth); err != nil {
			return err
		}
	}
	if subtle.ConstantTimeCompare([]byte(auth.Token), []byte(q.token)) != 1 {
		return fail(CodeForbidden, "the queues need a token")
	}
	return nil
}

// Exit is a disconnect handler: what the socket has not said to be done goes to others.
func (q *Queues) Exit(s *socketio.Socket, _ string) {
	q.mu.Lock()
	works := q.works[s]
	delete(q.works, s)
	q.mu.Unlock()
	for _, work := range works {
		work.Close()
	}
}

type publishOptions struct {
	ID    string `json:"id"`
	TTL   int64  `json:"ttl"`
	Delay int64  `json:"delay"`
}

// Published is the answer to publish.
type Published struct {
	OK        bool   `json:"ok"`
	Seq       uint64 `json:"seq,omitempty"` // none while it is delayed
	Duplicate bool   `json:"duplicate,omitempty"`
}

// Publish is the event publish. The ack leaves when the message is durable.
func (q *Queues) Publish(e *socketio.Event) error {
	var name string
	var body socketio.Arg
	var o publishOptions
	if err := bindOptional(e, &o, &name, nil); err != nil {
		return err
	}
	body = e.Args[1]
	kept, err := body.MarshalBinary()
	if err != nil {
		return err
	}
	message := queue.Message{Body: kept, ID: o.ID, TTL: milliseconds(o.TTL), Delay: milliseconds(o.Delay)}
	q.manager.PublishAsync(name, message, func(r queue.Receipt, err error) {
		if err != nil {
			_ = e.AckError(queueError(err)) // gone: nobody to tell
			return
		}
		_ = e.Ack(Published{OK: true, Seq: r.Seq, Duplicate: r.Duplicate}) // likewise
	})
	return nil
}

type subscribeOptions struct {
	Consumer string `json:"consumer"`
	Group    string `json:"group"`
	From     any    `json:"from"`
	Prefetch int    `json:"prefetch"`
}

// Subscribe is the event subscribe. from is "first" (the oldest message held, the default), "new", or the seq of the first
// message that is wanted; it matters only for a group that is not known yet.
func (q *Queues) Subscribe(e *socketio.Event) error {
	var name string
	var o subscribeOptions
	if err := bindOptional(e, &o, &name); err != nil {
		return err
	}
	from, err := beginning(o.From)
	if err != nil {
		return err
	}
	key := workKey{name, o.Consumer, o.Group}
	s := e.Socket
	q.mu.Lock()
	_, twice := q.works[s][key]
	many := len(q.works[s]) >= maxSubscriptions
	q.mu.Unlock()
	switch {
	case twice:
		return e.Ack(OK{OK: true})
	case many:
		return fail(CodeFull, "a connection has at most %d subscriptions", maxSubscriptions)
	}
	ctx, cancel := context.WithTimeout(s.Context(), queueWait)
	defer cancel()
	sub, err := q.manager.Subscribe(ctx, name, queue.SubscribeOptions{
		Consumer: o.Consumer, Group: o.Group, From: from, Prefetch: o.Prefetch,
	}, func(sub *queue.Subscription, d queue.Delivery) { q.deliver(s, sub, d) })
	if err != nil {
		return queueError(err)
	}
	// Disconnect handlers of a socket run after its event handlers: Exit will find what is noted here, even where the
	// socket has gone meanwhile.
	q.mu.Lock()
	if q.works[s] == nil {
		q.works[s] = map[workKey]*queue.Subscription{}
	}
	q.works[s][key] = sub
	q.mu.Unlock()
	return e.Ack(OK{OK: true})
}

func beginning(from any) (uint64, error) {
	switch v := from.(type) {
	case nil:
		return queue.FromFirst, nil
	case string:
		switch v {
		case "first", "":
			return queue.FromFirst, nil
		case "new":
			return queue.FromNew, nil
		}
	case float64:
		if v >= 1 && v == float64(uint64(v)) && v < 1<<53 {
			return uint64(v), nil
		}
	}
	return 0, fail(CodeBadRequest, `from is "first", "new" or the number of a message`)
}

// deliver sends a message to its consumer. It runs on the manager's goroutine.
func (q *Queues) deliver(s *socketio.Socket, sub *queue.Subscription, d queue.Delivery) {
	message, err := deliveryOf(d)
	if err == nil {
		err = s.EmitAck("message", []any{message}, q.answer, func(args socketio.Args, err error) {
			if err == nil {
				settle(sub, d.Seq, args)
			} // without an answer the queue's own timeout makes another attempt
		})
	}
	if err != nil && !errors.Is(err, socketio.ErrDisconnected) {
		go sub.Reject(d.Seq, "the message can't be sent: "+err.Error(), nil) // not from here: see queue.Manager.Subscribe
	}
}

func deliveryOf(d queue.Delivery) (map[string]any, error) {
	var body socketio.Arg
	if err := body.UnmarshalBinary(d.Body); err != nil {
		return nil, err
	}
	message := map[string]any{"queue": d.Queue, "seq": d.Seq, "body": body, "attempt": d.Attempt}
	if d.ID != "" {
		message["id"] = d.ID
	}
	return message, nil
}

// settle takes a client's done.
func settle(sub *queue.Subscription, seq uint64, args socketio.Args) {
	var done struct {
		Retry  *int64  `json:"retry"`
		Reject *string `json:"reject"`
	}
	if len(args) > 0 && args[0].Bind(&done) != nil {
		sub.Retry(seq, -1, nil) // what can't be understood is not taken for done
		return
	}
	switch {
	case done.Reject != nil:
		sub.Reject(seq, *done.Reject, nil)
	case done.Retry != nil:
		sub.Retry(seq, milliseconds(*done.Retry), nil)
	default:
		sub.Done(seq, nil)
	}
}

type unsubscribeOptions struct {
	Consumer string `json:"consumer"`
	Group    string `json:"group"`
	Forget   bool   `json:"forget"`
}

// Unsubscribe is the event unsubscribe: it ends the socket's subscription and, with forget, removes the durable cursor, so
// that nothing is held for the group any more.
func (q *Queues) Unsubscribe(e *socketio.Event) error {
	var name string
	var o unsubscribeOptions
	if err := bindOptional(e, &o, &name); err != nil {
		return err
	}
	if o.Consumer == "" && (o.Group == "" || !o.Forget) {
		return fail(CodeBadRequest, "no consumer is named")
	}
	key := workKey{name, o.Consumer, o.Group}
	q.mu.Lock()
	sub := q.works[e.Socket][key]
	delete(q.works[e.Socket], key)
	q.mu.Unlock()
	if sub != nil {
		sub.Close()
	}
	if o.Forget {
		ctx, cancel := context.WithTimeout(e.Socket.Context(), queueWait)
		defer cancel()
		if err := q.manager.Unsubscribe(ctx, name, o.Consumer, o.Group); err != nil {
			return queueError(err)
		}
		q.forgotten(key)
	}
	return e.Ack(OK{OK: true})
}

// forgotten has no connection consume under a cursor that was removed: whoever subscribes again begins anew.
func (q *Queues) forgotten(key workKey) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, works := range q.works {
		for k := range works {
			if k.queue == key.queue && k.group == key.group && (key.group != "" || k.consumer == key.consumer) {
				delete(works, k) // ended with the cursor
			}
		}
	}
}

// Stats is the event stats: of a queue, or without one the names of all.
func (q *Queues) Stats(e *socketio.Event) error {
	if len(e.Args) == 0 {
		return e.Ack(map[string]any{"queues": q.manager.Queues()})
	}
	var name string
	if err := e.Bind(&name); err != nil {
		return err
	}
	s, err := q.manager.Stats(name)
	if err != nil {
		return queueError(err)
	}
	groups := make([]any, 0, len(s.Groups))
	for _, g := range s.Groups {
		groups = append(groups, map[string]any{
			"name": g.Name, "shared": g.Shared, "consumers": g.Consumers, "in_flight": g.InFlight,
			"waiting": g.Waiting, "done_up_to": g.Floor, "lag": g.Lag,
		})
	}
	return e.Ack(map[string]any{
		"queue": s.Name, "messages": s.Messages, "bytes": s.Bytes, "delayed": s.Delayed, "head": s.Head, "groups": groups,
		"published": s.Published, "duplicates": s.Duplicates, "refused": s.Refused, "delivered": s.Delivered,
		"done": s.Done, "retried": s.Retried, "dead": s.Dead, "expired": s.Expired,
	})
}

type peekOptions struct {
	After uint64 `json:"after"`
	Limit int    `json:"limit"`
}

// Bounds of what peek answers with.
const (
	peekDefault = 20
	peekMost    = 100
	peekBytes   = 256 << 10
)

// Peek is the event peek: messages as they are held, oldest first, without taking them.
func (q *Queues) Peek(e *socketio.Event) error {
	var name string
	o := peekOptions{Limit: peekDefault}
	if err := bindOptional(e, &o, &name); err != nil {
		return err
	}
	if o.Limit < 1 || o.Limit > peekMost {
		return fail(CodeBadRequest, "limit is from 1 to %d", peekMost)
	}
	ctx, cancel := context.WithTimeout(e.Socket.Context(), queueWait)
	defer cancel()
	held, err := q.manager.Peek(ctx, name, o.After, o.Limit+1)
	if err != nil {
		return queueError(err)
	}
	more := len(held) > o.Limit
	if more {
		held = held[:o.Limit]
	}
	messages := make([]any, 0, len(held))
	size, attached := 0, 0
	for _, m := range held {
		var body socketio.Arg
		if err := body.UnmarshalBinary(m.Body); err != nil {
			return err
		}
		size += len(m.Body)
		attached += len(body.Attachments())
		if len(messages) > 0 && (size > peekBytes || attached > e.Socket.Namespace().Server().MaxAttachments()) {
			more = true
			break
		}
		row := map[string]any{"seq": m.Seq, "body": body, "published": m.Published.UnixMilli()}
		if m.ID != "" {
			row["id"] = m.ID
		}
		if !m.Expires.IsZero() {
			row["expires"] = m.Expires.UnixMilli()
		}
		if d := m.Dead; d != nil {
			row["dead"] = map[string]any{
				"queue": d.Queue, "seq": d.Seq, "group": d.Group, "attempts": d.Attempts, "reason": d.Reason,
			}
		}
		messages = append(messages, row)
	}
	return e.Ack(map[string]any{"messages": messages, "more": more})
}

// Purge is the event purge: it removes all messages of a queue.
func (q *Queues) Purge(e *socketio.Event) error {
	var name string
	if err := e.Bind(&name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.Socket.Context(), queueWait)
	defer cancel()
	removed, err := q.manager.Purge(ctx, name)
	if err != nil {
		return queueError(err)
	}
	return e.Ack(map[string]any{"ok": true, "removed": removed})
}

// bindOptional binds the first arguments, of which a nil stands for any, and the one behind them if it is there.
func bindOptional(e *socketio.Event, last any, first ...any) error {
	if len(e.Args) < len(first) {
		return fail(CodeBadRequest, "%d arguments are needed", len(first))
	}
	for i, dst := range first {
		if dst == nil {
			continue
		}
		if err := e.Args[i].Bind(dst); err != nil {
			return err
		}
	}
	if len(e.Args) == len(first) {
		return nil
	}
	return e.Args[len(first)].Bind(last)
}

func milliseconds(n int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(max(min(n, most), -1)) * time.Millisecond
}

// queueError is an error of the queues for the client.
func queueError(err error) error {
	if code := queue.Code(err); code != "internal" {
		return fail(code, "%s", err)
	}
	return err
}
