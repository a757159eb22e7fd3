package engineio

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func walk(payload string, most int) (out []string, err error) {
	err = walkPayload([]byte(payload), most, func(p packet) error {
		s := string(p.kind) + string(p.data)
		if p.binary {
			s = "b" + string(p.data)
		}
		out = append(out, s)
		return nil
	})
	return out, err
}

func TestWalkPayload(t *testing.T) {
	for _, c := range []struct {
		payload string
		most    int
		want    []string
		err     error
	}{
		{"4hello", 1, []string{"4hello"}, nil},
		{"4a\x1e4b\x1e4c", 3, []string{"4a", "4b", "4c"}, nil},
		{"4a\x1e4b\x1e4c", 2, []string{"4a", "4b"}, errTooMany},
		{"4\x1e3\x1e2probe\x1e1\x1e6\x1e5\x1e0", 9, []string{"4", "3", "2probe", "1", "6", "5", "0"}, nil},
		{"4hello\x1ebAQIDBA==", 9, []string{"4hello", "b\x01\x02\x03\x04"}, nil},
		{"b\x1e4x", 9, []string{"b", "4x"}, nil},
		{
			"bAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHw==\x1e4after", 9,
			[]string{"b\x01\x02\x03\x04\x05\x06\x07\x08\t\n\v\f\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f", "4after"},
			nil,
		},
		{"", 9, nil, errPacket},
		{"4a\x1e", 9, []string{"4a"}, errPacket},
		{"\x1e4a", 9, nil, errPacket},
		{"abc", 9, nil, errPacket},
		{"7", 9, nil, errPacket},
		{"4a\x1e9\x1e4b", 9, []string{"4a"}, errPacket},
		{"b!!!!", 9, nil, errPacket},
		{"bAQ=", 9, nil, errPacket},
		{"4\xff", 9, nil, errUTF8},
		{"4a\x1e4\xc3", 9, nil, errUTF8}, // nothing is handed over
	} {
		got, err := walk(c.payload, c.most)
		if !errors.Is(err, c.err) || strings.Join(got, "|") != strings.Join(c.want, "|") {
			t.Errorf("%q: got %q, %v; want %q, %v", c.payload, got, err, c.want, c.err)
		}
	}
}

func TestWalkPayloadStopsWithItsCallback(t *testing.T) {
	stop := errors.New("stop")
	n := 0
	err := walkPayload([]byte("4a\x1e4b\x1e4c"), 9, func(packet) error {
		if n++; n == 2 {
			return stop
		}
		return nil
	})
	if n != 2 || !errors.Is(err, stop) {
		t.Errorf("%d calls, %v", n, err)
	}
}

// FuzzWalkPayload holds walkPayload to a plain reading of the same payload.
func FuzzWalkPayload(f *testing.F) {
	for _, seed := range []string{"4hello", "4a\x1ebAQIDBA==\x1e3", "b", "bAA=\x1eb", "\x1e", "4\xff", "9", "bAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHw==\x1e4"} {
		f.Add(seed, 3)
	}
	f.Fuzz(func(t *testing.T, payload string, most int) {
		if most < 1 {
			return
		}
		got, err := walk(payload, most)
		if !utf8.ValidString(payload) {
			if err == nil || len(got) > 0 {
				t.Fatalf("took a payload that is not UTF-8: %q", got)
			}
			return
		}
		var want []string
		ok := true
		for i, one := range strings.Split(payload, "\x1e") {
			if ok = i < most && one != ""; !ok {
				break
			}
			if one[0] == 'b' {
				plain, err := base64.StdEncoding.DecodeString(one[1:])
				if ok = err == nil; !ok {
					break
				}
				one = "b" + string(plain)
			} else if ok = one[0] >= '0' && one[0] <= '6'; !ok {
				break
			}
			want = append(want, one)
		}
		if (err == nil) != ok || strings.Join(got, "|") != strings.Join(want, "|") {
			t.Fatalf("%q: got %q, %v; want %q, ok %t", payload, got, err, want, ok)
		}
	})
}
