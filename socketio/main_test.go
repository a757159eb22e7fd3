package socketio

import (
	"testing"

	"go.uber.org/goleak"
)

// realFirstAckID is what the other tests do without, so that they can say which id comes next.
var realFirstAckID = firstAckID

func TestMain(m *testing.M) {
	firstAckID = func() uint64 { return 0 }
	goleak.VerifyTestMain(m)
}

// TestAckIDsOfAnotherProcess has a client owe an acknowledgement to a server that is gone.
func TestAckIDsOfAnotherProcess(t *testing.T) {
	seen := map[uint64]bool{}
	for range 100 {
		id := realFirstAckID()
		if id >= maxAckID/2 {
			t.Fatalf("%d leaves too little to count on", id)
		}
		seen[id] = true
	}
	if len(seen) < 100 {
		t.Fatalf("only %d of 100 processes differ", len(seen))
	}
}
