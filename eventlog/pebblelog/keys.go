package pebblelog

import (
	"encoding/binary"
	"errors"
	"time"

	"holdfast/eventlog"
)

// The database holds, in key order:
//
//	01 "format"                              the version of this layout
//	01 "unsynced"                            set while a store that does not sync is open
//	02 <name>                                the log's id (4 bytes)
//	10 <id> 01                               the log's head record
//	10 <id> 02 <segment>                     a segment: when it began, its bytes
//	10 <id> 03 <key>                         the state table
//	10 <id> 04 <segment> 00 <offset>         an event
//	10 <id> 04 <segment> 01 <room> <offset>  a row of the room index
//
// All numbers in keys are big endian. A log is cut into segments, named by the sequence of their first
// event (8 bytes); an offset is relative to it (4 bytes). Events and index of a segment lie side by side
// and after all older ones: new data never overlaps old in the LSM tree, and a segment is trimmed by one
// range delete that drops whole files.
//
// A room is 00 for events to everyone, else 01, its length (uvarint) and its bytes.
const (
	formatVersion = 1

	metaByte     = 0x01
	registryByte = 0x02
	logByte      = 0x10

	headKind    = 0x01
	segmentKind = 0x02
	stateKind   = 0x03
	dataKind    = 0x04

	eventRow = 0x00
	indexRow = 0x01

	everyone = 0x00
	oneRoom  = 0x01

	logPrefixLen  = 1 + 4
	dataPrefixLen = logPrefixLen + 1 + 8 // up to and with the segment
	eventKeyLen   = dataPrefixLen + 1 + 4
)

var (
	formatKey   = append([]byte{metaByte}, "format"...)
	unsyncedKey = append([]byte{metaByte}, "unsynced"...)

	errRow = errors.New("a row does not decode")
)

func registryKey(name string) []byte { return append([]byte{registryByte}, name...) }

func logPrefix(id uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{logByte}, id)
}

// key returns the log's key of a kind with the parts behind it.
func (l *Log) key(kind byte, parts ...string) []byte {
	n := logPrefixLen + 1
	for _, p := range parts {
		n += len(p)
	}
	k := make([]byte, 0, n)
	k = append(append(k, l.prefix...), kind)
	for _, p := range parts {
		k = append(k, p...)
	}
	return k
}

func (l *Log) segmentKey(first uint64) []byte {
	return binary.BigEndian.AppendUint64(l.key(segmentKind), first)
}

// appendDataPrefix appends what all events and index rows of a segment begin with.
func (l *Log) appendDataPrefix(dst []byte, segment uint64) []byte {
	dst = append(append(dst, l.prefix...), dataKind)
	return binary.BigEndian.AppendUint64(dst, segment)
}

func (l *Log) appendEventKey(dst []byte, segment, seq uint64) []byte {
	dst = append(l.appendDataPrefix(dst, segment), eventRow)
	return binary.BigEndian.AppendUint32(dst, uint32(seq-segment))
}

func (l *Log) appendIndexPrefix(dst []byte, segment uint64, room []byte) []byte {
	dst = append(l.appendDataPrefix(dst, segment), indexRow)
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
	first uint64
	start int64 // time of its first event, Unix microseconds
	bytes int64
}

func (s *segmentMeta) value() []byte {
	v := binary.BigEndian.AppendUint64(nil, uint64(s.start))
	return binary.BigEndian.AppendUint64(v, uint64(s.bytes))
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
