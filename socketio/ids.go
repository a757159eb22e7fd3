package socketio

import (
	"crypto/rand"
	"encoding/base64"
	"sync"
)

// idBytes of randomness are in the id of a socket, as in Node's; 20 characters of base64url.
const idBytes = 15

// idSource turns few reads of the system's randomness into many ids.
type idSource struct {
	mu   sync.Mutex
	buf  [64 * idBytes]byte
	used int // bytes of buf that are gone; all of it at first
}

func newIDSource() *idSource {
	g := &idSource{}
	g.used = len(g.buf)
	return g
}

func (g *idSource) next() string {
	var id [idBytes]byte
	g.mu.Lock()
	if g.used == len(g.buf) {
		rand.Read(g.buf[:]) //nolint:errcheck // it never fails; it ends the program instead
		g.used = 0
	}
	copy(id[:], g.buf[g.used:])
	clear(g.buf[g.used : g.used+idBytes])
	g.used += idBytes
	g.mu.Unlock()
	var text [20]byte
	base64.RawURLEncoding.Encode(text[:], id[:])
	return string(text[:])
}
