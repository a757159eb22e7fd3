package queue

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The state table holds, for every queue:
//
//	c 00 <queue>                        the queue: its last sequence, how much it holds
//	m 00 <queue> 00 <seq>               a message
//	g 00 <queue> 00 <group>             a group's cursor
//	s 00 <queue> 00 <group> 00 <gen><seq>  what the cursor doesn't say of a message above it
//	i 00 <queue> 00 <id>                an id that was published
//
// and over all queues, ordered by time:
//
//	t 00 <time> <queue> 00 <id>         when the id was published
//	l 00 <time> <number> <queue>        a message that is not yet due
//
// Names hold no 00. Numbers and times (Unix milliseconds) have 8 bytes, big endian. The generation tells a
// group from an earlier one of the same name, of which rows may be left.

var errRow = errors.New("a row does not decode")

func queueKey(queue string) string { return "c\x00" + queue }

func messagePrefix(queue string) string { return "m\x00" + queue + "\x00" }

func messageKey(queue string, seq uint64) string { return messagePrefix(queue) + number(seq) }

func groupPrefix(queue string) string { return "g\x00" + queue + "\x00" }

func groupKey(queue, group string) string { return groupPrefix(queue) + group }

func statusPrefix(queue, group string) string { return "s\x00" + queue + "\x00" + group + "\x00" }

func statusKey(queue, group string, generation, seq uint64) string {
	return statusPrefix(queue, group) + number(generation) + number(seq)
}

func idKey(queue, id string) string { return "i\x00" + queue + "\x00" + id }

const (
	idTimePrefix  = "t\x00"
	delayedPrefix = "l\x00"
)

func idTimeKey(at int64, queue, id string) string {
	return idTimePrefix + number(uint64(at)) + queue + "\x00" + id
}

func delayedKey(due int64, n uint64, queue string) string {
	return delayedPrefix + number(uint64(due)) + number(n) + queue
}

func number(n uint64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return string(b[:])
}

// lastNumber is the number at the end of a key.
func lastNumber(key string) uint64 {
	return binary.BigEndian.Uint64([]byte(key[len(key)-8:]))
}

// numberAt is the number that follows a prefix of a key.
func numberAt(key, prefix string) uint64 {
	return binary.BigEndian.Uint64([]byte(key[len(prefix) : len(prefix)+8]))
}

// splitIDTime takes apart a key of idTimePrefix.
func splitIDTime(key string) (at int64, queue, id string, ok bool) {
	if len(key) < len(idTimePrefix)+8 {
		return 0, "", "", false
	}
	queue, id, ok = strings.Cut(key[len(idTimePrefix)+8:], "\x00")
	return int64(numberAt(key, idTimePrefix)), queue, id, ok
}

// splitDelayed takes apart a key of delayedPrefix.
func splitDelayed(key string) (due int64, queue string, ok bool) {
	if len(key) <= len(delayedPrefix)+16 {
		return 0, "", false
	}
	return int64(numberAt(key, delayedPrefix)), key[len(delayedPrefix)+16:], true
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// rowWriter and rowReader write and read rows: numbers as uvarint, strings with their length.
type rowWriter []byte

func (w *rowWriter) uint(n uint64) { *w = binary.AppendUvarint(*w, n) }

func (w *rowWriter) string(s string) {
	w.uint(uint64(len(s)))
	*w = append(*w, s...)
}

type rowReader struct {
	b   []byte
	bad bool
}

func (r *rowReader) uint() uint64 {
	n, w := binary.Uvarint(r.b)
	if w <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[w:]
	return n
}

func (r *rowReader) string() string {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *rowReader) err() error {
	if r.bad {
		return errRow
	}
	return nil
}

const rowVersion = 1

func (r *rowReader) version() {
	if v := r.uint(); v != rowVersion {
		r.bad, r.b = true, nil
	}
}

// Stored is a message as a queue holds it.
type Stored struct {
	Seq       uint64
	ID        string
	Body      []byte
	Published time.Time
	Expires   time.Time // zero for never
	Due       time.Time // zero unless it is still delayed
	Dead      *Dead     // in a queue of dead letters, where it comes from
}

// Dead is why a message is a dead letter.
type Dead struct {
	Queue    string
	Seq      uint64
	Group    string // who could not handle it
	Attempts int
	Reason   string
	Time     time.Time
}

func (s *Stored) encode() []byte {
	w := make(rowWriter, 0, 32+len(s.ID)+len(s.Body))
	w.uint(rowVersion)
	w.uint(uint64(millis(s.Published)))
	w.uint(uint64(millis(s.Expires)))
	w.string(s.ID)
	if d := s.Dead; d == nil {
		w.uint(0)
	} else {
		w.uint(1)
		w.string(d.Queue)
		w.uint(d.Seq)
		w.string(d.Group)
		w.uint(uint64(d.Attempts))
		w.string(d.Reason)
		w.uint(uint64(millis(d.Time)))
	}
	return append(w, s.Body...)
}

// decodeMessage copies what it returns.
func decodeMessage(seq uint64, row []byte) (Stored, error) {
	r := rowReader{b: row}
	r.version()
	s := Stored{Seq: seq}
	s.Published = timeOf(int64(r.uint()))
	s.Expires = timeOf(int64(r.uint()))
	s.ID = r.string()
	if r.uint() == 1 {
		s.Dead = &Dead{
			Queue: r.string(), Seq: r.uint(), Group: r.string(), Attempts: int(r.uint()), Reason: r.string(),
			Time: timeOf(int64(r.uint())),
		}
	}
	if err := r.err(); err != nil {
		return s, fmt.Errorf("message %d: %w", seq, err)
	}
	s.Body = append([]byte(nil), r.b...)
	return s, nil
}

// queueRow is a queue's own row.
type queueRow struct {
	head  uint64
	count int
	bytes int64
}

func (q *queueRow) encode() []byte {
	w := make(rowWriter, 0, 16)
	w.uint(rowVersion)
	w.uint(q.head)
	w.uint(uint64(max(q.count, 0)))
	w.uint(uint64(max(q.bytes, 0)))
	return w
}

func decodeQueue(row []byte) (q queueRow, err error) {
	r := rowReader{b: row}
	r.version()
	q = queueRow{r.uint(), int(r.uint()), int64(r.uint())}
	return q, r.err()
}

// groupRow is a group's cursor: all up to floor is done, all up to delivered was delivered at least once.
type groupRow struct {
	floor, delivered uint64
	generation       uint64
}

func (g *groupRow) encode() []byte {
	w := make(rowWriter, 0, 16)
	w.uint(rowVersion)
	w.uint(g.floor)
	w.uint(g.delivered)
	w.uint(g.generation)
	return w
}

func decodeGroup(row []byte) (g groupRow, err error) {
	r := rowReader{b: row}
	r.version()
	g = groupRow{r.uint(), r.uint(), r.uint()}
	if g.delivered < g.floor {
		r.bad = true
	}
	return g, r.err()
}

// statusRow is what is known of a message above a group's floor: that it is done, or how often it was
// tried and when it may be tried again.
type statusRow struct {
	done     bool
	attempts int
	at       int64
}

func (s *statusRow) encode() []byte {
	w := make(rowWriter, 0, 16)
	w.uint(rowVersion)
	if s.done {
		w.uint(1)
		return w
	}
	w.uint(0)
	w.uint(uint64(s.attempts))
	w.uint(uint64(s.at))
	return w
}

func decodeStatus(row []byte) (s statusRow, err error) {
	r := rowReader{b: row}
	r.version()
	if r.uint() == 1 {
		s.done = true
		return s, r.err()
	}
	s.attempts, s.at = int(r.uint()), int64(r.uint())
	return s, r.err()
}

// idRow is what is known of an id: the message's sequence (0 while it is delayed) and when it came.
type idRow struct {
	seq uint64
	at  int64
}

func (i *idRow) encode() []byte {
	w := make(rowWriter, 0, 16)
	w.uint(rowVersion)
	w.uint(i.seq)
	w.uint(uint64(i.at))
	return w
}

func decodeID(row []byte) (i idRow, err error) {
	r := rowReader{b: row}
	r.version()
	i = idRow{r.uint(), int64(r.uint())}
	return i, r.err()
}
