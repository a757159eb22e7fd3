package pebblelog

import (
	"bytes"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"
)

// cursor walks the index rows of one room in one segment. It reads them in runs that grow, so that many
// cursors share one iterator.
type cursor struct {
	it       *pebble.Iterator
	prefix   []byte
	base     uint64 // the sequence that offsets are relative to
	from, to uint64 // what is still to be read from the index
	rows     []uint64
	run      int
	ended    bool
	key      []byte
}

const (
	firstRun = 8
	maxRun   = 1024
)

func (c *cursor) nextRun() int {
	c.run = min(max(c.run*2, firstRun), maxRun)
	c.rows = c.rows[:0]
	return c.run
}

func (c *cursor) seekKey(seq uint64) []byte {
	c.key = binary.BigEndian.AppendUint32(append(c.key[:0], c.prefix...), uint32(seq-c.base))
	return c.key
}

// row is the sequence of the index row under the iterator, if it belongs to the cursor.
func (c *cursor) row(ok bool) (uint64, bool) {
	if !ok {
		return 0, false
	}
	k := c.it.Key()
	if len(k) != len(c.prefix)+4 || !bytes.HasPrefix(k, c.prefix) {
		return 0, false
	}
	return c.base + uint64(binary.BigEndian.Uint32(k[len(c.prefix):])), true
}

// fill reads the next run upwards.
func (c *cursor) fill() error {
	n := c.nextRun()
	if c.from > c.to {
		c.ended = true
		return nil
	}
	for ok := c.it.SeekGE(c.seekKey(c.from)); ; ok = c.it.Next() {
		seq, mine := c.row(ok)
		if !mine || seq > c.to {
			c.ended = true
			return c.it.Error()
		}
		c.rows = append(c.rows, seq)
		c.from = seq + 1
		if len(c.rows) == n {
			return nil
		}
	}
}

// fillBack reads the next run downwards.
func (c *cursor) fillBack() error {
	n := c.nextRun()
	if c.to < c.from {
		c.ended = true
		return nil
	}
	for ok := c.it.SeekLT(append(c.seekKey(c.to), 0)); ; ok = c.it.Prev() {
		seq, mine := c.row(ok)
		if !mine || seq < c.from {
			c.ended = true
			return c.it.Error()
		}
		c.rows = append(c.rows, seq)
		c.to = seq - 1
		if len(c.rows) == n {
			return nil
		}
	}
}

// pop drops the first row and reads on when it was the last of its run.
func (c *cursor) pop(reverse bool) error {
	if c.rows = c.rows[1:]; len(c.rows) > 0 || c.ended {
		return nil
	}
	if reverse {
		return c.fillBack()
	}
	return c.fill()
}

// merge is a heap of cursors by their next row.
type merge struct {
	cursors []*cursor
	reverse bool
}

func (m *merge) Len() int { return len(m.cursors) }

func (m *merge) Less(i, j int) bool {
	return (m.cursors[i].rows[0] < m.cursors[j].rows[0]) != m.reverse
}
func (m *merge) Swap(i, j int) { m.cursors[i], m.cursors[j] = m.cursors[j], m.cursors[i] }
func (m *merge) Push(x any)    { m.cursors = append(m.cursors, x.(*cursor)) }
func (m *merge) Pop() any {
	n := len(m.cursors) - 1
	c := m.cursors[n]
	m.cursors = m.cursors[:n]
	return c
}
