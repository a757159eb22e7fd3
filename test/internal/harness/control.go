package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Stats are the test server's figures, taken after a garbage collection.
type Stats struct {
	Goroutines int            `json:"goroutines"`
	HeapBytes  int64          `json:"heapBytes"` // live heap and stacks
	Sessions   int            `json:"sessions"`
	Sockets    int            `json:"sockets"`
	Reasons    map[string]int `json:"reasons"` // of disconnects
}

// Stats asks for the figures.
func (s *TestServer) Stats(ctx context.Context) (Stats, error) {
	var stats Stats
	err := s.request(ctx, http.MethodGet, "/test/stats", nil, &stats)
	return stats, err
}

// Broadcast emits an event to everyone in the namespace "/", with args and then a text of size bytes.
func (s *TestServer) Broadcast(ctx context.Context, event string, size int, args ...any) error {
	return s.request(ctx, http.MethodPost, "/test/control",
		map[string]any{"op": "emit", "event": event, "args": args, "bytes": size}, nil)
}

func (s *TestServer) request(ctx context.Context, method, path string, body, result any) error {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.Addr+path, reader)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, text)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(text, result)
}
