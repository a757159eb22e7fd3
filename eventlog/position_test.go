package eventlog

import (
	"errors"
	"math"
	"testing"
)

func TestPositionRoundTrip(t *testing.T) {
	for _, p := range []Position{
		{Epoch: 1},
		{Epoch: 1, Seq: 35},
		{Epoch: 36, Seq: 36},
		{Epoch: math.MaxUint64, Seq: math.MaxUint64},
	} {
		s := p.String()
		if len(s) > maxPosition {
			t.Errorf("%q is longer than %d bytes", s, maxPosition)
		}
		if got, err := ParsePosition(s); err != nil || got != p {
			t.Errorf("ParsePosition(%q) = %v, %v; want %v", s, got, err, p)
		}
	}
}

func TestParsePositionIsStrict(t *testing.T) {
	for _, s := range []string{
		"", "-", "1", "1-", "-1", "0-1", "01-1", "1-01", "+1-1", "1-+1", "1-1-1", "A-1", "1-A", "1 -1", "1-1 ",
		"1_0-1", "3w5e11264sgsg-0", "1-3w5e11264sgsg", "0x1-1", "é-1", "1-1\x00",
		"1111111111111111111111111111111111-1",
	} {
		if p, err := ParsePosition(s); !errors.Is(err, ErrPosition) {
			t.Errorf("ParsePosition(%q) = %v, %v; want ErrPosition", s, p, err)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{"1-0", "zz-zz", "3w5e11264sgsf-3w5e11264sgsf", "0-0", "1-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParsePosition(s); err == nil && p.String() != s {
			t.Fatalf("%q parsed to %v, which is written %q", s, p, p.String())
		}
	})
}
