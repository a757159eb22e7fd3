package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"

	"holdfast/socketio"
)

// figures are what /test/stats answers, taken after a garbage collection.
type figures struct {
	Goroutines     int            `json:"goroutines"`
	HeapBytes      uint64         `json:"heapBytes"`
	Sessions       int            `json:"sessions"`
	Sockets        int64          `json:"sockets"`
	Rooms          int64          `json:"rooms"` // with members, but for each socket's own
	NamespaceCount int64          `json:"namespaceCount"`
	Namespaces     map[string]int `json:"namespaces"` // sockets of the static ones
	Panics         uint64         `json:"panics"`
	totals
}

// order is the body of a control request.
type order struct {
	Op        string            `json:"op"`
	Namespace string            `json:"nsp"`
	Rooms     []string          `json:"rooms"`
	Except    []string          `json:"except"`
	Volatile  bool              `json:"volatile"`
	Compress  *bool             `json:"compress"`
	Timeout   *int              `json:"timeout"` // milliseconds
	Event     string            `json:"event"`
	Args      []json.RawMessage `json:"args"`
	Times     *int              `json:"times"`
	Numbered  bool              `json:"numbered"`
	Bytes     int               `json:"bytes"`
	Names     []string          `json:"names"`
	Close     bool              `json:"close"`
}

// control mounts the requests by which a test asks for what only the server can do.
func (a *app) control(mux *http.ServeMux) {
	mux.HandleFunc("GET /test/stats", func(w http.ResponseWriter, _ *http.Request) { answer(w, a.figures(), nil) })
	mux.HandleFunc("GET /test/sockets", func(w http.ResponseWriter, r *http.Request) {
		answer(w, a.ledger.find(r.URL.Query().Get("id")), nil)
	})
	mux.HandleFunc("GET /test/goroutines", func(w http.ResponseWriter, _ *http.Request) {
		_ = pprof.Lookup("goroutine").WriteTo(w, 1)
	})
	mux.HandleFunc("POST /test/control", func(w http.ResponseWriter, r *http.Request) {
		var o order
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &o)
		}
		if err != nil {
			answer(w, nil, err)
			return
		}
		result, err := a.obey(r, o)
		answer(w, result, err)
	})
}

func answer(w http.ResponseWriter, value any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

func (a *app) figures() figures {
	runtime.GC()
	runtime.GC() // what finalizers and pools held until the first
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	stats := a.server.Stats()
	f := figures{
		Goroutines:     goroutines(),
		HeapBytes:      m.HeapAlloc + m.StackInuse,
		Sessions:       a.server.Engine().Len(),
		Sockets:        stats.Sockets,
		Rooms:          stats.Rooms,
		NamespaceCount: stats.Namespaces,
		Namespaces:     make(map[string]int, len(a.statics)),
		Panics:         stats.Panics,
		totals:         a.ledger.totals(),
	}
	for _, n := range a.statics {
		f.Namespaces[n.Name()] = n.Len()
	}
	return f
}

// goroutines counts those that do something or wait for someone: all but the engine's idle hands, which it keeps
// for the next event.
func goroutines() int {
	var profile bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&profile, 1)
	count := 0
	for i, group := range strings.Split(profile.String(), "\n\n") {
		if i == 0 {
			_, group, _ = strings.Cut(group, "\n") // the heading
		}
		n, stack, _ := strings.Cut(group, " @ ")
		_, innermost, _ := strings.Cut(stack, "\n")
		innermost, _, _ = strings.Cut(innermost, "\n")
		if strings.Contains(innermost, "holdfast/engineio.(*Server).lend") {
			continue
		}
		if size, err := strconv.Atoi(strings.TrimSpace(n)); err == nil {
			count += size
		}
	}
	return count
}

// find returns a namespace that exists, a child of a parent included, and makes none.
func (a *app) find(name string) (*socketio.Namespace, error) {
	if name == "" {
		name = "/"
	}
	named := func(n *socketio.Namespace) bool { return n.Name() == name }
	if i := slices.IndexFunc(a.statics, named); i >= 0 {
		return a.statics[i], nil
	}
	for _, p := range a.parents {
		children := p.Children()
		if i := slices.IndexFunc(children, named); i >= 0 {
			return children[i], nil
		}
	}
	return nil, fmt.Errorf("no namespace %s", name)
}

func (a *app) obey(r *http.Request, o order) (any, error) {
	switch o.Op {
	case "forget":
		a.ledger.forget()
		return nil, nil
	case "emitToChildren":
		return nil, a.parents[0].Emit(o.Event, o.args()...)
	}
	n, err := a.find(o.Namespace)
	if err != nil {
		return nil, err
	}
	to := o.broadcast(n)
	switch o.Op {
	case "emit":
		return nil, o.emit(to)
	case "emitWithAck":
		return o.emitWithAck(r, to)
	case "fetchSockets":
		return fetch(r, to)
	case "socketsJoin":
		to.SocketsJoin(o.Names...)
	case "socketsLeave":
		to.SocketsLeave(o.Names...)
	case "disconnectSockets":
		to.DisconnectSockets(o.Close)
	default:
		return nil, fmt.Errorf("unknown operation %q", o.Op)
	}
	return nil, nil
}

func (o order) args() []any {
	args := make([]any, len(o.Args))
	for i, arg := range o.Args {
		args[i] = arg
	}
	return args
}

func (o order) broadcast(n *socketio.Namespace) socketio.Broadcast {
	to := n.To(o.Rooms...).Except(o.Except...)
	if o.Volatile {
		to = to.Volatile()
	}
	if o.Compress != nil {
		to = to.Compress(*o.Compress)
	}
	if o.Timeout != nil {
		to = to.Timeout(milliseconds(*o.Timeout))
	}
	return to
}

// emit sends the event as often as asked; numbered puts its number first, bytes a text of that length last.
func (o order) emit(to socketio.Broadcast) error {
	times := 1
	if o.Times != nil {
		times = *o.Times
	}
	text := strings.Repeat("x", o.Bytes)
	for i := range times {
		var args []any
		if o.Numbered {
			args = append(args, i)
		}
		args = append(args, o.args()...)
		if o.Bytes > 0 {
			args = append(args, text)
		}
		if err := to.Emit(o.Event, args...); err != nil {
			return err
		}
	}
	return nil
}

func (o order) emitWithAck(r *http.Request, to socketio.Broadcast) (any, error) {
	acks, err := to.EmitWithAck(r.Context(), o.Event, o.args()...)
	if err != nil && !errors.Is(err, socketio.ErrAckTimeout) {
		return nil, err
	}
	responses := make([][]any, len(acks.Responses))
	for i, args := range acks.Responses {
		responses[i] = make([]any, len(args))
		for j, arg := range args {
			if err := arg.Bind(&responses[i][j]); err != nil {
				return nil, err
			}
		}
	}
	return map[string]any{"timedOut": err != nil, "responses": responses, "missing": acks.Missing}, nil
}

func fetch(r *http.Request, to socketio.Broadcast) (any, error) {
	sockets, err := to.FetchSockets(r.Context())
	if err != nil {
		return nil, err
	}
	type found struct {
		ID    string   `json:"id"`
		Rooms []string `json:"rooms"`
	}
	list := make([]found, len(sockets))
	for i, s := range sockets {
		list[i] = found{ID: s.ID(), Rooms: slices.Sorted(slices.Values(s.Rooms()))}
	}
	return list, nil
}
