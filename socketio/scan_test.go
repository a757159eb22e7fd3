package socketio

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestScanAgreesWithEncodingJSON(t *testing.T) {
	for _, s := range []string{
		``, ` `, `0`, `-0`, `-`, `01`, `1.`, `1.5`, `.5`, `1e5`, `1E+5`, `1e-`, `1e`, `-1.25e-3`, `+1`, `1x`,
		`"a"`, `"`, `"\n"`, `"\x"`, `"\u12g4"`, `"\u1234"`, `"\u123"`, "\"\n\"", `"\ud800"`, `"ü"`, `"\"`,
		`true`, `tru`, `truex`, `false`, `null`, `nul`, `nulll`, `undefined`, `NaN`,
		`[]`, `[ ]`, `[1]`, `[1,]`, `[,1]`, `[1 2]`, `[1,2]`, `[[],[[]]]`, `[`, `]`, `[]]`, `[}`,
		`{}`, `{ }`, `{"a":1}`, `{"a":1,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a":1 "b":2}`, `{"a":{"b":[{}]}}`, `{`, `{]`, `{"a":1]`,
		`[{"a":[1,{"b":"]"}]},"}"]`, ` [ 1 , { "a" : [ ] } ] `, "\t{}\r\n", `[1]x`, `{"__proto__":1}`,
	} {
		if got, want := scanAll([]byte(s)) == nil, stdjson.Valid([]byte(s)); got != want {
			t.Errorf("%q: valid %v, want %v", s, got, want)
		}
	}
}

func TestScanDepth(t *testing.T) {
	nest := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	if err := scanAll(nest(maxDepth)); err != nil {
		t.Errorf("at the bound: %v", err)
	}
	if err := scanAll(nest(maxDepth + 1)); !errors.Is(err, errNestedTooDeep) {
		t.Errorf("past the bound: %v", err)
	}
	if err := scanAll(nest(1_000_000)); !errors.Is(err, errNestedTooDeep) {
		t.Errorf("a million deep: %v", err)
	}
	objects := strings.Repeat(`{"a":[`, maxDepth/2) + strings.Repeat(`]}`, maxDepth/2)
	if err := scanAll([]byte(objects)); err != nil {
		t.Errorf("objects at the bound: %v", err)
	}
}

func TestScanArraySplits(t *testing.T) {
	args, err := scanArray([]byte(` [ "a,b" , {"x":[1,2]} ,3, [ ] ] `), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range args {
		got = append(got, string(a.raw))
	}
	if want := `["\"a,b\"" "{\"x\":[1,2]}" "3" "[ ]"]`; fmt.Sprintf("%q", got) != want {
		t.Errorf("got %q", got)
	}
	if _, err := scanArray([]byte("["+strings.Repeat("1,", maxArguments)+"1]"), nil); !errors.Is(err, errTooManyArguments) {
		t.Errorf("too many: %v", err)
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range []string{`[1,{"a":"b\u0041"}]`, `{"a":[null,true,-1.5e+3]}`, `"`, `[[[`, `{"_placeholder":true,"num":0}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		err := scanAll(b)
		if errors.Is(err, errNestedTooDeep) {
			return
		}
		if valid := stdjson.Valid(b); valid != (err == nil) {
			t.Fatalf("%q: %v, encoding/json says %v", b, err, valid)
		}
		if err != nil {
			return
		}
		if _, err := decodeAny(b, nil); err != nil && !strings.Contains(err.Error(), "out of range") {
			t.Fatalf("%q does not decode: %v", b, err)
		}
		for _, n := range []int{0, 1, 3} {
			found, err := findPlaceholders(b, n)
			if err != nil {
				continue
			}
			at := 0
			for _, p := range found {
				if p.start < at || p.end <= p.start || p.num >= n || b[p.start] != '{' || b[p.end-1] != '}' {
					t.Fatalf("%q: placeholder %+v", b, p)
				}
				at = p.end
			}
		}
	})
}

func BenchmarkScan(b *testing.B) {
	data := []byte(`["chat message",{"room":"lobby","text":"Hello, how are you today?","at":1700000000000,"tags":["a","b"]},true]`)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	var args [4]Arg
	for b.Loop() {
		if _, err := scanArray(data, args[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

// TestSkipPlain puts each byte at each place among others, of every kind that borrows and carries may confuse it with.
func TestSkipPlain(t *testing.T) {
	for _, around := range []byte{' ', '!', '#', '[', ']', 'x', 0x7f, 0x80, 0xa2, 0xdc, 0xff} {
		b := bytes.Repeat([]byte{around}, 29)
		for at := range b {
			for c := range 256 {
				b[at] = byte(c)
				special := c < ' ' || c == '"' || c == '\\'
				for from := range 9 {
					got := skipPlain(b, from)
					end := len(b) - (len(b)-from)%8 // where it stops looking
					want := end
					if special && at >= from && at < end {
						want = at
					}
					if got != want {
						t.Fatalf("%#x at %d among %#x, from %d: %d, want %d", c, at, around, from, got, want)
					}
				}
			}
			b[at] = around
		}
	}
}
