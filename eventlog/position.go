package eventlog

import (
	"fmt"
	"strconv"
	"strings"
)

// Position is where a reader stands in a log: it has seen every event of its rooms up to Seq, in the
// incarnation of the log that Epoch names. Seq 0 is before the first event.
type Position struct {
	Epoch uint64
	Seq   uint64
}

// maxPosition is the length of the longest position: two uint64 in base 36 and the dash.
const maxPosition = 13 + 1 + 13

// String is "<epoch>-<seq>", both in base 36. It is short, since it travels with every event, and opaque
// to clients.
func (p Position) String() string {
	return string(p.Append(make([]byte, 0, maxPosition)))
}

// Append appends the position's text to dst.
func (p Position) Append(dst []byte) []byte {
	dst = strconv.AppendUint(dst, p.Epoch, 36)
	dst = append(dst, '-')
	return strconv.AppendUint(dst, p.Seq, 36)
}

// ParsePosition reads what String wrote and nothing else: no signs, capitals or leading zeros, and no
// epoch 0. The error is ErrPosition. It does not say whether a log ever was at that position.
func ParsePosition(s string) (Position, error) {
	if len(s) > maxPosition {
		return Position{}, fmt.Errorf("%w: %d bytes", ErrPosition, len(s))
	}
	epoch, seq, ok := strings.Cut(s, "-")
	if !ok {
		return Position{}, fmt.Errorf("%w: no dash", ErrPosition)
	}
	var p Position
	if p.Epoch, ok = parseBase36(epoch); !ok || p.Epoch == 0 {
		return Position{}, fmt.Errorf("%w: bad epoch", ErrPosition)
	}
	if p.Seq, ok = parseBase36(seq); !ok {
		return Position{}, fmt.Errorf("%w: bad sequence", ErrPosition)
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
