package eventlog

import (
	"encoding/binary"
	"hash/maphash"
	"slices"
	"sort"
	"time"

	"github.com/klauspost/compress/s2"
)

const (
	// A segment is full at segmentEvents, or at segmentBytes of records: the room index is sorted and
	// events are freed by the segment.
	segmentEvents = 4096
	segmentBytes  = 1 << 20
	// A block is what is compressed as one: reading any event of it costs decoding it.
	blockBytes = 32 << 10

	// everyoneRow is the index row's room of events that go to everyone.
	everyoneRow uint32 = 0
)

// segment holds consecutive events and the index of their rooms.
type segment struct {
	first uint64 // sequence of event 0
	count uint32
	start time.Time // of event 0
	last  time.Time // of the newest
	bytes int64     // sum of Record.Size

	blocks []block
	// rows is the room index: a hash of the room above the event's number within the segment. Two rooms
	// may share a hash, so a reader checks the event's own rooms. Sorted once the segment is sealed.
	rows   []uint64
	sealed bool
}

// block is a run of encoded events. A packed block is compressed and never changes.
type block struct {
	first  uint32 // number of its first event
	packed bool
	data   []byte
}

func (s *segment) end() uint64 { return s.first + uint64(s.count) }

func (s *segment) full() bool { return s.count >= segmentEvents || s.bytes >= segmentBytes }

// add appends an event. Readers may hold an older copy of the segment's headers: what they can see of it
// is never written again.
func (s *segment) add(now time.Time, r *Record, seed maphash.Seed) {
	n := len(s.blocks)
	if n == 0 || len(s.blocks[n-1].data) >= blockBytes {
		if n > 0 {
			// A new slice: a reader may hold the old one.
			s.blocks = append(slices.Clone(s.blocks[:n-1]), s.blocks[n-1].pack())
		}
		s.blocks = append(s.blocks, block{first: s.count, data: make([]byte, 0, min(blockBytes+512, 1024<<n))})
		n = len(s.blocks)
	}
	b := &s.blocks[n-1]
	s.last = now
	b.data = appendEvent(b.data, now.Sub(s.start), r)
	if len(r.Rooms) == 0 {
		s.rows = append(s.rows, row(everyoneRow, s.count))
	}
	for _, room := range r.Rooms {
		s.rows = append(s.rows, row(hashRoom(seed, room), s.count))
	}
	s.count++
	s.bytes += r.Size()
}

// seal returns the segment in the form it keeps: compressed, exactly sized, its index sorted.
func (s *segment) seal() *segment {
	c := *s
	c.blocks = make([]block, len(s.blocks))
	for i, b := range s.blocks {
		c.blocks[i] = b.pack()
	}
	c.rows = slices.Clone(s.rows)
	slices.Sort(c.rows)
	c.sealed = true
	return &c
}

func (b block) pack() block {
	if b.packed {
		return b
	}
	packed := s2.Encode(nil, b.data)
	return block{first: b.first, packed: true, data: append(make([]byte, 0, len(packed)), packed...)}
}

func row(hash, event uint32) uint64 { return uint64(hash)<<32 | uint64(event) }

func hashRoom(seed maphash.Seed, room string) uint32 {
	h := uint32(maphash.String(seed, room))
	if h == everyoneRow {
		h = 1
	}
	return h
}

// find appends to dst the numbers of the events from..to (both within the segment, to excluded) that have
// one of the hashes, ascending and each once.
func (s *segment) find(dst []uint32, hashes []uint32, from, to uint32) []uint32 {
	start := len(dst)
	if s.sealed {
		for _, h := range hashes {
			i, _ := slices.BinarySearch(s.rows, row(h, from))
			for ; i < len(s.rows) && s.rows[i] < row(h, to); i++ {
				dst = append(dst, uint32(s.rows[i]))
			}
		}
	} else {
		wanted := make(map[uint32]struct{}, len(hashes))
		for _, h := range hashes {
			wanted[h] = struct{}{}
		}
		// Unsorted by room, but ascending by event.
		i := sort.Search(len(s.rows), func(i int) bool { return uint32(s.rows[i]) >= from })
		for ; i < len(s.rows) && uint32(s.rows[i]) < to; i++ {
			if _, ok := wanted[uint32(s.rows[i]>>32)]; ok {
				dst = append(dst, uint32(s.rows[i]))
			}
		}
	}
	found := dst[start:]
	slices.Sort(found)
	return dst[:start+len(slices.Compact(found))]
}

// An event is stored as: length of the rest, age relative to the segment, rooms, except, data; numbers as
// uvarint, a list as its length and then each string with its length.

func appendEvent(dst []byte, age time.Duration, r *Record) []byte {
	n := uvarintLen(uint64(age)) + listLen(r.Rooms) + listLen(r.Except) + len(r.Data)
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = binary.AppendUvarint(dst, uint64(age))
	dst = appendList(dst, r.Rooms)
	dst = appendList(dst, r.Except)
	return append(dst, r.Data...)
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

func appendList(dst []byte, list []string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	for _, s := range list {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return dst
}

// decoder reads events out of segments. It keeps the block it decoded last, so reading in order decodes
// each block once.
type decoder struct {
	s     *segment
	block int
	data  []byte // the block's events; owned when scratch backs it
	next  uint32 // number of the event at pos
	pos   int
	buf   []byte
}

// event decodes event i of the segment. What it returns does not refer to the block.
func (d *decoder) event(s *segment, i uint32) Event {
	if d.s != s || d.data == nil || i < d.next || d.block+1 < len(s.blocks) && i >= s.blocks[d.block+1].first {
		d.load(s, i)
	}
	for d.next < i {
		n, w := binary.Uvarint(d.data[d.pos:])
		d.pos += w + int(n)
		d.next++
	}
	n, w := binary.Uvarint(d.data[d.pos:])
	rest := d.data[d.pos+w : d.pos+w+int(n)]
	d.pos += w + int(n)
	d.next++

	e := Event{Seq: s.first + uint64(i)}
	age, w := binary.Uvarint(rest)
	e.Time = s.start.Add(time.Duration(age))
	rest = rest[w:]
	e.Rooms, rest = readList(rest)
	e.Except, rest = readList(rest)
	e.Data = append([]byte(nil), rest...)
	return e
}

func (d *decoder) load(s *segment, i uint32) {
	k := sort.Search(len(s.blocks), func(k int) bool { return s.blocks[k].first > i }) - 1
	if d.s != s || d.block != k || d.data == nil {
		b := &s.blocks[k]
		d.data = b.data
		if b.packed {
			out, err := s2.Decode(d.buf[:cap(d.buf)], b.data)
			if err != nil {
				panic("eventlog: a block in memory does not decode: " + err.Error())
			}
			d.data, d.buf = out, out
		}
	}
	d.s, d.block, d.next, d.pos = s, k, s.blocks[k].first, 0
}

func readList(b []byte) ([]string, []byte) {
	n, w := binary.Uvarint(b)
	b = b[w:]
	if n == 0 {
		return nil, b
	}
	list := make([]string, n)
	for i := range list {
		l, w := binary.Uvarint(b)
		list[i] = string(b[w : w+int(l)])
		b = b[w+int(l):]
	}
	return list, b
}
