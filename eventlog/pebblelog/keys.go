package pebblelog

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"holdfast/eventlog"
)

// The database holds, in key order:
//
//	10 <segment> 00 <offset>         an event
//	10 <segment> 01 <room> <offset>  a row of the room index
//	20 "format"                      the version of this layout
//	20 "unsynced"                    set while a store that does not sync is open
//	21 <name>                        the registry: a log's id (4 bytes)
//	22 <log>                         a log's head record
//	23 <log> <first>                 a segment: its number, when it began, its bytes
//	24 <log> <key>                   the state table
//
// All numbers in keys are big endian. A log is cut into segments. A segment's number (8 bytes) is counted
// over the whole store; an offset (4 bytes) is relative to its first event. So whatever is new lies behind
// all older events in key order, of whichever log: compactions never read old events again, and a segment
// is trimmed, with its index, by one range delete that drops whole files.
//
// A room is 00 for events to everyone, else 01, its length (uvarint) and its bytes.
const (
	formatVersion = 1

	dataByte     = 0x10
	metaByte     = 0x20
	registryByte = 0x21
	headByte     = 0x22
	segmentByte  = 0x23
	stateByte    = 0x24

	eventRow = 0x00
	indexRow = 0x01

	everyone = 0x00
	oneRoom  = 0x01

	logPrefixLen  = 1 + 4
	dataPrefixLen = 1 + 8 // up to and with the segment
	eventKeyLen   = dataPrefixLen + 1 + 4
)

var (
	formatKey   = append([]byte{metaByte}, "format"...)
	unsyncedKey = append([]byte{metaByte}, "unsynced"...)

	errRow = errors.New("a row does not decode")
)

func registryKey(name string) []byte { return append([]byte{registryByte}, name...) }

// key returns the log's key of a kind, with a suffix.
func (l *Log) key(kind byte, suffix string) []byte {
	k := make([]byte, 0, logPrefixLen+len(suffix))
	k = binary.BigEndian.AppendUint32(append(k, kind), l.id)
	return append(k, suffix...)
}

func (l *Log) headKey() []byte { return l.key(headByte, "") }

func (l *Log) stateKey(key string) []byte { return l.key(stateByte, key) }

func (l *Log) segmentKey(first uint64) []byte {
	return binary.BigEndian.AppendUint64(l.key(segmentByte, ""), first)
}

// appendDataPrefix appends what all events and index rows of a segment begin with.
func appendDataPrefix(dst []byte, segment uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, dataByte), segment)
}

func (s *segmentMeta) appendEventKey(dst []byte, seq uint64) []byte {
	dst = append(appendDataPrefix(dst, s.id), eventRow)
	return binary.BigEndian.AppendUint32(dst, uint32(seq-s.first))
}

func (s *segmentMeta) appendIndexPrefix(dst []byte, room []byte) []byte {
	dst = append(appendDataPrefix(dst, s.id), indexRow)
	return append(dst, room...)
}

// roomKey is how a room stands in an index row.
func roomKey(room string) []byte {
	k := make([]byte, 0, 3+len(room))
	k = append(k, oneRoom)
	k = binary.AppendUvarint(k, uint64(len(room)))
	return append(k, room...)
}

var everyoneKey = []byte{everyone}

// upperBound is the first key after all that begin with prefix.
func upperBound(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}

// headRecord is what a log keeps of itself; it is written with every group.
type headRecord struct {
	epoch       uint64
	first, head uint64
	bytes       int64 // of the last segment
	trimmed     int64 // bytes of the first segment that lie before first
	last        int64 // time of the newest event, Unix microseconds
}

const headRecordLen = 6 * 8

func (h *headRecord) append(dst []byte) []byte {
	for _, n := range [...]uint64{h.epoch, h.first, h.head, uint64(h.bytes), uint64(h.trimmed), uint64(h.last)} {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	return dst
}

func decodeHead(b []byte) (h headRecord, err error) {
	if len(b) != headRecordLen {
		return h, errRow
	}
	n := func(i int) uint64 { return binary.BigEndian.Uint64(b[8*i:]) }
	h = headRecord{n(0), n(1), n(2), int64(n(3)), int64(n(4)), int64(n(5))}
	if h.epoch == 0 || h.first == 0 || h.first > h.head+1 {
		return h, errRow
	}
	return h, nil
}

// segmentMeta describes a segment. bytes is only right once a later segment has begun.
type segmentMeta struct {
	first uint64 // sequence of its first event
	id    uint64 // its number in the store
	start int64  // time of its first event, Unix microseconds
	bytes int64
}

const segmentValueLen = 3 * 8

func (s *segmentMeta) value() []byte {
	v := binary.BigEndian.AppendUint64(make([]byte, 0, segmentValueLen), s.id)
	v = binary.BigEndian.AppendUint64(v, uint64(s.start))
	return binary.BigEndian.AppendUint64(v, uint64(s.bytes))
}

// decodeSegment reads a row of the segments; suffix is what follows the log in its key.
func decodeSegment(suffix, v []byte) (s segmentMeta, err error) {
	if len(suffix) != 8 || len(v) != segmentValueLen {
		return s, errRow
	}
	return segmentMeta{be64(suffix), be64(v), int64(be64(v[8:])), int64(be64(v[16:]))}, nil
}

// liveSegments are the numbers of the segments of all logs.
type liveSegments struct {
	ids  []uint64 // ascending
	next uint64   // larger than any
}

// add gives out a number.
func (s *liveSegments) add() uint64 {
	s.ids = append(s.ids, s.next)
	s.next++
	return s.next - 1
}

func (s *liveSegments) remove(id uint64) {
	if i, ok := slices.BinarySearch(s.ids, id); ok {
		s.ids = slices.Delete(s.ids, i, i+1)
	}
}

// gapAround returns the range of numbers around id, which was removed, that no segment has: to is not in it.
func (s *liveSegments) gapAround(id uint64) (from, to uint64) {
	i, _ := slices.BinarySearch(s.ids, id)
	if i > 0 {
		from = s.ids[i-1] + 1
	}
	to = s.next
	if i < len(s.ids) {
		to = s.ids[i]
	}
	return from, to
}

// An event's value is its time (8 bytes), its rooms, its except and its data: a list is its length and
// then each string with its length, as uvarint.

func eventLen(r *eventlog.Record) int {
	return 8 + listLen(r.Rooms) + listLen(r.Except) + len(r.Data)
}

func uvarintLen(n uint64) int {
	l := 1
	for ; n >= 0x80; n >>= 7 {
		l++
	}
	return l
}

func listLen(list []string) int {
	n := uvarintLen(uint64(len(list)))
	for _, s := range list {
		n += uvarintLen(uint64(len(s))) + len(s)
	}
	return n
}

func appendEvent(dst []byte, micros int64, r *eventlog.Record) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(micros))
	dst = appendList(dst, r.Rooms)
	dst = appendList(dst, r.Except)
	return append(dst, r.Data...)
}

func appendList(dst []byte, list []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

// decodeEvent copies what it returns.
func decodeEvent(seq uint64, v []byte) (e eventlog.Event, err error) {
	if len(v) < 8 {
		return e, errRow
	}
	e.Seq = seq
	e.Time = time.UnixMicro(int64(binary.BigEndian.Uint64(v)))
	v = v[8:]
	if e.Rooms, v, err = decodeList(v); err != nil {
		return e, err
	}
	if e.Except, v, err = decodeList(v); err != nil {
		return e, err
	}
	e.Data = append([]byte(nil), v...)
	return e, nil
}

func decodeList(v []byte) ([]string, []byte, error) {
	n, w := binary.Uvarint(v)
	if w <= 0 || n > uint64(len(v)) {
		return nil, nil, errRow
	}
	v = v[w:]
	if n == 0 {
		return nil, v, nil
	}
	list := make([]string, n)
	for i := range list {
		l, w := binary.Uvarint(v)
		if w <= 0 || l > uint64(len(v)-w) {
			return nil, nil, errRow
		}
		list[i] = string(v[w : w+int(l)])
		v = v[w+int(l):]
	}
	return list, v, nil
}
