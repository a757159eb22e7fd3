// Package eventlog keeps the events of one namespace in order, durably, so that they can be read again
// by a client that missed them, and beside them a small table of state that changes together with them.
//
// A Log is an append-only sequence. Position is where a reader stands in it: the sequence number of the
// last event seen, and the epoch of the log that gave it. The epoch changes when a log was lost or made
// anew, so that a reader of the old one finds out that it has a gap instead of silently skipping it.
//
// Backends: NewMemory in this package, pebblelog for a disk. Package logtest holds the one suite that
// every backend passes.
package eventlog

import (
	"context"
	"errors"
	"time"
)

// Errors that a Log returns. Test with errors.Is.
var (
	// ErrClosed says that the log was closed.
	ErrClosed = errors.New("event log is closed")
	// ErrFull says that the store has no room left: nothing of the batch was kept. It heals by itself
	// once there is room again.
	ErrFull = errors.New("event log is full")
	// ErrWrite says that the store could not be written for another reason than room: nothing of the batch
	// was kept. The store tries again by itself.
	ErrWrite = errors.New("event log cannot be written")
	// ErrTrimmed says that events after the asked position are no longer held.
	ErrTrimmed = errors.New("event log no longer holds that position")
	// ErrCorrupt says that the store is damaged; the error wrapped around it names the file.
	ErrCorrupt = errors.New("event log is damaged")
	// ErrNotFound says that there is no value under that key.
	ErrNotFound = errors.New("no such key in the event log")
	// ErrPosition says that a string is no position.
	ErrPosition = errors.New("not a log position")
)

// Record is an event to be appended. What it refers to must not change after Submit.
type Record struct {
	// Rooms index the event: a reader of any of them sees it. None means everyone.
	Rooms []string
	// Except are rooms whose members are left out. The log keeps them; applying them is the reader's.
	Except []string
	// Data is the event itself, opaque to the log.
	Data []byte
}

// Size is what a record counts for in Retention.MaxBytes and Stats.Bytes: its data and names, and an
// allowance for the index row that each room costs and for the event's own key.
func (r *Record) Size() int64 {
	n := 32 + len(r.Data)
	for _, room := range r.Rooms {
		n += 16 + 2*len(room)
	}
	for _, room := range r.Except {
		n += 2 + len(room)
	}
	return int64(n)
}

// Event is a Record as the log gives it back.
type Event struct {
	Seq  uint64
	Time time.Time
	Record
}

// KV is one entry of the state table. The value must not change after Submit.
type KV struct {
	Key   string
	Value []byte
}

// Batch is one unit of change: all of it is kept or nothing, whenever the process dies. Deletes are
// applied before puts, so that a key in both ends with its new value.
type Batch struct {
	Records []Record
	Put     []KV
	Delete  []string

	// Frees says that the batch leads to less being held, though it puts something: an acknowledgement,
	// say. It is then taken while the store refuses others for want of room, as long as its reserve
	// lasts; so is a batch that only deletes.
	Frees bool

	// Done, if not nil, is called exactly once: after the batch is committed as durably as the log was
	// opened for, with the sequence number of the first record (the log's head for a batch without
	// records), or with the error that kept it out. The calls come one at a time, in the order of Submit,
	// from a goroutine of the log; it must not block for long and must not wait for another batch.
	Done func(first uint64, err error)
}

// Query asks for a part of the log.
type Query struct {
	// Rooms whose events are wanted, together with those for everyone. Nil means every event;
	// empty but not nil, only those for everyone.
	Rooms []string
	// After is the sequence number before the first wanted; Until the last wanted (0: the head).
	After, Until uint64
	// Limit and MaxBytes bound what one call returns (0: a bound of the backend's own).
	Limit, MaxBytes int
	// Reverse returns the newest first.
	Reverse bool
}

// Page is the answer to a Query.
type Page struct {
	Events []Event
	// More says that events within the query are left over; go on from Next: After = Next, or in
	// reverse Until = Next. Without more, Next is up to where the query was answered: forward the
	// sequence after which nothing has been looked at yet (a reader that goes on later asks from there).
	More bool
	Next uint64
}

// Stats describes a log at one moment.
type Stats struct {
	First, Head uint64 // the oldest and the newest sequence held; First = Head+1 when it is empty
	Events      uint64
	Bytes       int64 // what the events take, as retention counts it
	Appends     uint64
	Commits     uint64 // groups committed: Appends/Commits is the mean group
	Failures    uint64
	Full        bool // no appends are taken for want of room
}

// Retention bounds what a log keeps; zero means no bound. Whatever is past any of them is trimmed,
// oldest first, by a task of the log's own and when Trim is called. Between two runs of that task a log
// may hold a sixteenth more. The state table is not trimmed.
type Retention struct {
	MaxAge    time.Duration
	MaxEvents uint64
	// MaxBytes counts Record.Size. A backend on a disk keeps somewhat less, so that with its index and
	// write-ahead log it stays near the bound on disk too.
	MaxBytes int64
}

// Log is one ordered, durable sequence of events with its state table. All methods may be called
// concurrently. Events become visible to Read only once they are committed, and then all events
// before them are visible too.
type Log interface {
	// Epoch identifies this incarnation of the log. It is never zero. A log that is not durable gets a new
	// one, even while it is open, when it lost events that were committed; ask for it with every position.
	Epoch() uint64
	// Head is the sequence of the newest committed event, 0 before the first.
	Head() uint64
	// First is the oldest sequence still held, Head()+1 when there is none.
	First() uint64

	// Submit takes the batch into the next group commit and returns at once. Sequence numbers follow the
	// order of Submit. An error (ErrClosed) means that the batch was not taken and Done will not be called.
	Submit(b *Batch) error
	// Append is Submit that waits for the commit. When ctx ends first the batch may still be committed.
	Append(ctx context.Context, b *Batch) (first uint64, err error)

	// Read returns a page of events. It is ErrTrimmed when q.After+1 < First() and not in reverse:
	// a reader never gets a part without knowing. Its cost follows the events it returns and the number
	// of rooms, not the size of the log.
	Read(ctx context.Context, q Query) (Page, error)
	// HeadOf is the newest committed sequence for the rooms (as in Query.Rooms), or 0.
	HeadOf(ctx context.Context, rooms []string) (uint64, error)

	// Get returns the committed value under key, or ErrNotFound.
	Get(ctx context.Context, key string) ([]byte, error)
	// Scan calls f for the keys with the prefix, in byte order, from the first key after `after` on
	// ("" for the first of all), until f returns false. The value is only valid during the call, which
	// must not wait for a commit of the same log.
	Scan(ctx context.Context, prefix, after string, f func(key string, value []byte) bool) error

	// SetRetention replaces the bounds.
	SetRetention(Retention)
	// Trim applies the bounds now.
	Trim(ctx context.Context) error

	// Err is nil while the log takes appends, else why it does not (ErrFull until there is room again,
	// ErrWrite until writing works again, ErrClosed).
	Err() error
	Stats() Stats
	// Close commits what was submitted, then closes.
	Close() error
}

// Store opens logs by name and keeps them together in one place (one directory, one database).
type Store interface {
	// Open returns the log of that name, made on first use; the same Log for the same name.
	Open(name string, r Retention) (Log, error)
	// Err is why the store as a whole does not take appends, or nil.
	Err() error
	// Size is what the store takes on disk, in bytes (0 for memory).
	Size() int64
	Close() error
}
