package eventlog

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Position is where a reader stands in a log: it has seen every event of its rooms up to Seq, in the
// incarnation of the log that Epoch names. Seq 0 is before the first event.
type Position struct {
	Epoch uint64
	Seq   uint64
}

// checkLen is the length of the check at the end of a position's text, checks how many there are.
const (
	checkLen = 4
	checks   = 36 * 36 * 36 * 36
)

// maxPosition is the length of the longest position: two uint64 in base 36, the dash and the check.
const maxPosition = 13 + 1 + 13 + checkLen

const digits = "0123456789abcdefghijklmnopqrstuvwxyz"

// String is "<epoch>-<seq><check>", all in base 36, the check in four digits. It is short, since it travels
// with every event, and opaque to clients. The check tells a text that was cut or altered on its way from an
// earlier position: of 1.6 million such texts one passes. It is no secret and keeps nobody out.
func (p Position) String() string {
	return string(p.Append(make([]byte, 0, maxPosition)))
}

// Append appends the position's text to dst.
func (p Position) Append(dst []byte) []byte {
	dst = strconv.AppendUint(dst, p.Epoch, 36)
	dst = append(dst, '-')
	dst = strconv.AppendUint(dst, p.Seq, 36)
	c := p.check()
	return append(dst, digits[c/(36*36*36)], digits[c/(36*36)%36], digits[c/36%36], digits[c%36])
}

// check is a number below checks in which each bit of the position has its part. The constants are arbitrary.
func (p Position) check() uint32 {
	high, low := bits.Mul64(p.Epoch^0xb7c15d3a06e92f4d, p.Seq^0x5d1f0a9b7e46d3a9)
	high, low = bits.Mul64(high^p.Seq^0xd6e8a1f3274b95ed, low^p.Epoch^0x71b4e92d5ca83f17)
	return uint32((high ^ low) % checks)
}

// ParsePosition reads what String wrote and nothing else: no signs, capitals or leading zeros, no epoch 0,
// and nothing whose check is another. The error is ErrPosition. It does not say whether a log ever was at
// that position.
func ParsePosition(s string) (Position, error) {
	if len(s) > maxPosition {
		return Position{}, fmt.Errorf("%w: %d bytes", ErrPosition, len(s))
	}
	epoch, rest, ok := strings.Cut(s, "-")
	if !ok {
		return Position{}, fmt.Errorf("%w: no dash", ErrPosition)
	}
	var p Position
	if p.Epoch, ok = parseBase36(epoch); !ok || p.Epoch == 0 {
		return Position{}, fmt.Errorf("%w: bad epoch", ErrPosition)
	}
	if p.Seq, ok = parseBase36(rest[:max(len(rest)-checkLen, 0)]); !ok {
		return Position{}, fmt.Errorf("%w: bad sequence", ErrPosition)
	}
	var buf [maxPosition]byte
	if string(p.Append(buf[:0])) != s {
		return Position{}, fmt.Errorf("%w: its check is another", ErrPosition)
	}
	return p, nil
}

// parseBase36 reads a number in the one form that strconv.AppendUint gives it.
func parseBase36(s string) (uint64, bool) {
	if s == "" || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(s, 36, 64)
	return n, err == nil
}
