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
		// As it stands, and with what would be the check of the number that it looks like.
		for _, s := range []string{s, s + "0000", s + check(1, 1), s + check(1, 0)} {
			if p, err := ParsePosition(s); !errors.Is(err, ErrPosition) {
				if s == "1-1"+check(1, 1) {
					continue
				}
				t.Errorf("ParsePosition(%q) = %v, %v; want ErrPosition", s, p, err)
			}
		}
	}
}

// check is the end of a position's text.
func check(epoch, seq uint64) string {
	s := Position{Epoch: epoch, Seq: seq}.String()
	return s[len(s)-checkLen:]
}

// TestAlteredPositions takes the texts of positions as they are usual and cuts, alters, swaps, adds and drops
// a character wherever that can be done. The check can't tell all of them, but of a few thousand it does.
func TestAlteredPositions(t *testing.T) {
	for _, p := range []Position{
		{Epoch: 0x9f3b_0c55_a1e4_77d2, Seq: 4},
		{Epoch: 0x1d0a_88f1_3c52_0b99, Seq: 123_456},
		{Epoch: 0xffff_ffff_ffff_ffff, Seq: 3_000_000_000},
	} {
		s := p.String()
		altered := map[string]bool{}
		for i := range len(s) {
			altered[s[:i]] = true
			altered[s[i+1:]] = true
			altered[s[:i]+s[i+1:]] = true
			if i > 0 {
				altered[s[:i-1]+s[i:i+1]+s[i-1:i]+s[i+1:]] = true
			}
			for _, c := range digits + "-" {
				altered[s[:i]+string(c)+s[i+1:]] = true
				altered[s[:i]+string(c)+s[i:]] = true
				altered[s+string(c)] = true
			}
		}
		delete(altered, s)
		for text := range altered {
			if got, err := ParsePosition(text); err == nil {
				t.Errorf("%q of %q parsed to %v", text, s, got)
			}
		}
		// A check that belongs to another sequence or another log.
		for _, other := range []Position{{Epoch: p.Epoch, Seq: p.Seq + 1}, {Epoch: p.Epoch, Seq: p.Seq - 1}, {Epoch: p.Epoch - 1, Seq: p.Seq}} {
			text := s[:len(s)-checkLen] + check(other.Epoch, other.Seq)
			if got, err := ParsePosition(text); err == nil {
				t.Errorf("%q with the check of %v parsed to %v", text, other, got)
			}
		}
	}
}

// TestChecksAreSpread counts how many of the positions around one have its check.
func TestChecksAreSpread(t *testing.T) {
	seen := map[uint32]int{}
	const n = 200_000
	for seq := range uint64(n) {
		seen[Position{Epoch: 0x9f3b_0c55_a1e4_77d2, Seq: seq}.check()]++
	}
	// Thrown at random into that many boxes they would fill n - n*n/(2*checks) of them, less 2 % here.
	if expected := n - n*n/(2*checks); len(seen) < expected*98/100 {
		t.Errorf("%d positions have %d checks", n, len(seen))
	}
}

func TestPositionAllocates(t *testing.T) {
	p := Position{Epoch: math.MaxUint64, Seq: math.MaxUint64}
	s := p.String()
	buf := make([]byte, 0, maxPosition)
	if n := testing.AllocsPerRun(100, func() {
		buf = p.Append(buf[:0])
		if _, err := ParsePosition(s); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPositionAppend(b *testing.B) {
	p, buf := Position{Epoch: 0x9f3b_0c55_a1e4_77d2}, make([]byte, 0, maxPosition)
	b.ReportAllocs()
	for b.Loop() {
		p.Seq++
		buf = p.Append(buf[:0])
	}
}

func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{"1-0", "0-0", "1-", "1-0" + check(1, 0), "zz-zz" + check(35*36+35, 35*36+35), Position{Epoch: math.MaxUint64, Seq: math.MaxUint64}.String()} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParsePosition(s); err == nil && p.String() != s {
			t.Fatalf("%q parsed to %v, which is written %q", s, p, p.String())
		}
	})
}

func FuzzPosition(f *testing.F) {
	f.Add(uint64(1), uint64(0), 0, byte('0'))
	f.Fuzz(func(t *testing.T, epoch, seq uint64, at int, c byte) {
		p := Position{Epoch: max(epoch, 1), Seq: seq}
		s := p.String()
		if got, err := ParsePosition(s); err != nil || got != p {
			t.Fatalf("ParsePosition(%q) = %v, %v; want %v", s, got, err, p)
		}
		altered := []byte(s)
		altered[uint(at)%uint(len(s))] = c
		if got, err := ParsePosition(string(altered)); err == nil && got.String() != string(altered) {
			t.Fatalf("%q of %q parsed to %v", altered, s, got)
		}
	})
}
