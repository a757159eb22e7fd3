package socketio

import (
	stdjson "encoding/json"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// keptData is a socket's data as a log kept it.
type keptData jsontext.Value

// Data is what SetData stored, or nil. On a socket that was recovered, and whose data was not set anew, it is what
// JSON made of it: see DataAs.
func (s *Socket) Data() any {
	v := s.rawData()
	kept, ok := v.(keptData)
	if !ok {
		return v
	}
	var out any
	_ = json.Unmarshal(kept, &out) // it was made by Marshal
	return out
}

func (s *Socket) rawData() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.more == nil {
		return nil
	}
	return s.more.data
}

// DataAs is the socket's data as a T: as it was set, or, on a socket that was recovered, decoded from what was kept.
// It reports false where the data is nothing of the kind.
func DataAs[T any](s *Socket) (T, bool) {
	v := s.rawData()
	if t, ok := v.(T); ok {
		return t, true
	}
	var t T
	kept, ok := v.(keptData)
	if !ok || stdjson.Unmarshal(kept, &t) != nil {
		return t, false
	}
	return t, true
}

// SetData stores a value of the application's. FetchSockets hands it to other nodes as JSON, and in a recoverable
// namespace it is kept as JSON for a client that comes back; what can't be encoded is not.
func (s *Socket) SetData(v any) {
	s.mu.Lock()
	s.extra().data = v
	n, connected := s.ns, s.state == stateConnected
	s.mu.Unlock()
	if !connected || n.outlet.flow == nil {
		return
	}
	data := s.encodeKept(v)
	n.mu.Lock()
	defer n.mu.Unlock()
	if s.kept != nil && s.index >= 0 {
		s.kept.data = data
		n.outlet.flow.save(s, nil)
	}
}

// encodeKept is data as it is kept, or nothing.
func (s *Socket) encodeKept(v any) jsontext.Value {
	switch v := v.(type) {
	case nil:
		return nil
	case keptData:
		return jsontext.Value(v)
	}
	b, err := stdjson.Marshal(v)
	if err != nil {
		s.conn.server.opts.Logger.Debug().Err(err).Str("socket", s.id).Msg("data of a socket can't be kept for its recovery")
		return nil
	}
	return b
}

// saved has a socket's session kept as it is now. Namespace.mu is held.
func (n *Namespace) saved(s *Socket) {
	if f := n.outlet.flow; f != nil && s.kept != nil && s.index >= 0 {
		f.save(s, nil)
	}
}
