package socketio

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"holdfast/engineio"
)

// encoded is the text and the attachments of an event with these arguments.
func encoded(t testing.TB, args ...any) (string, [][]byte) {
	t.Helper()
	p, err := encodeEvent("/", noID, "e", args, 10)
	if err != nil {
		t.Fatal(err)
	}
	f := p.frame()
	return string(f.Text()), f.Attachments()
}

func TestEncodeValues(t *testing.T) {
	type inner struct {
		Name string `json:"name"`
		Skip string `json:"-"`
		Opt  int    `json:"opt,omitempty"`
	}
	var none *inner
	for _, c := range []struct {
		in   any
		want string
	}{
		{nil, `null`},
		{"a", `"a"`},
		{"a\"b\\c\n\u2028<ü\x00", `"a\"b\\c\n` + "\u2028" + `<ü\u0000"`},
		{"bad\xff", `"bad` + "\ufffd" + `"`},
		{true, `true`},
		{1, `1`},
		{int8(-1), `-1`},
		{uint64(math.MaxUint64), `18446744073709551615`},
		{1.5, `1.5`},
		{1e21, `1e+21`},
		{0.0000001, `1e-07`},
		{float32(0.1), `0.1`},
		{inner{Name: "x"}, `{"name":"x"}`},
		{&inner{Name: "<x>", Opt: 2}, `{"name":"<x>","opt":2}`},
		{none, `null`},
		{[]int(nil), `null`},
		{[]string{"a"}, `["a"]`},
		{map[string]int{"b": 1, "a": 2}, `{"a":2,"b":1}`},
		{time.Unix(0, 0).UTC(), `"1970-01-01T00:00:00Z"`},
		{stdjson.RawMessage(`{"a": 1}`), `{"a": 1}`},
		{jsontext.Value(`[1]`), `[1]`},
		{stdjson.RawMessage(nil), `null`},
		{stdjson.Number("12"), `12`},
		{Arg{}, `null`},
		{Arg{raw: []byte(`{"x":1}`)}, `{"x":1}`},
		{[]byte(nil), `null`},
		{map[string]any{"bad": "\xff"}, `{"bad":"` + "\ufffd" + `"}`},
		{[]any{Arg{raw: []byte(`1`)}}, `[1]`},
	} {
		text, bin := encoded(t, c.in)
		if want := `2["e",` + c.want + `]`; text != want || len(bin) != 0 {
			t.Errorf("%#v: got %s, want %s", c.in, text, want)
		}
	}
	if text, _ := encoded(t); text != `2["e"]` {
		t.Errorf("no arguments: %s", text)
	}
	if text, _ := encoded(t, Args{{raw: []byte("1")}, {raw: []byte("2")}}, 3); text != `2["e",1,2,3]` {
		t.Errorf("Args: %s", text)
	}
	if text, _ := encoded(t, Args{}, 3); text != `2["e",3]` {
		t.Errorf("no Args: %s", text)
	}
}

func TestEncodeBinaryAnywhere(t *testing.T) {
	type file struct {
		Name string `json:"name"`
		Data []byte `json:"data"`
		Next *file  `json:"next,omitempty"`
	}
	bin := []byte{1, 2, 3}
	for _, c := range []struct {
		in   any
		want string
		n    int
	}{
		{bin, `{"_placeholder":true,"num":0}`, 1},
		{[]byte{}, `{"_placeholder":true,"num":0}`, 1},
		{&bin, `{"_placeholder":true,"num":0}`, 1},
		{[][]byte{bin, {4}}, `[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`, 2},
		{map[string]any{"a": map[string]any{"b": bin}}, `{"a":{"b":{"_placeholder":true,"num":0}}}`, 1},
		{[]any{1, []any{bin}}, `[1,[{"_placeholder":true,"num":0}]]`, 1},
		{file{"x", bin, &file{"y", []byte{9}, nil}}, `{"name":"x","data":{"_placeholder":true,"num":0},"next":{"name":"y","data":{"_placeholder":true,"num":1}}}`, 2},
		{file{Name: "x"}, `{"name":"x","data":null}`, 0},
		{map[string][]byte{"a": bin}, `{"a":{"_placeholder":true,"num":0}}`, 1},
	} {
		text, got := encoded(t, c.in)
		want := `2["e",` + c.want + `]`
		if c.n > 0 {
			want = `5` + string(rune('0'+c.n)) + `-["e",` + c.want + `]`
		}
		if text != want || len(got) != c.n {
			t.Errorf("%#v: got %s with %d, want %s", c.in, text, len(got), want)
		}
	}
	p, err := encodeEvent("/n", 7, "e", []any{bin, "x", []byte{4}}, 10)
	if err != nil {
		t.Fatal(err)
	}
	if want := `52-/n,7["e",{"_placeholder":true,"num":0},"x",{"_placeholder":true,"num":1}]`; string(p.frame().Text()) != want {
		t.Errorf("got %s", p.buf)
	}
	ack, err := encodeAck("/", 3, []any{bin}, 10)
	if err != nil {
		t.Fatal(err)
	}
	f := ack.frame()
	if string(f.Text()) != `61-3[{"_placeholder":true,"num":0}]` || !bytes.Equal(f.Attachments()[0], bin) {
		t.Errorf("got %s", f.Text())
	}
}

func TestEncodeRefuses(t *testing.T) {
	type loop struct{ Next *loop }
	l := &loop{}
	l.Next = l
	for name, v := range map[string]any{
		"NaN":              math.NaN(),
		"infinity":         math.Inf(1),
		"NaN in a map":     map[string]any{"a": math.NaN()},
		"float32 NaN":      float32(math.NaN()),
		"channel":          make(chan int),
		"function":         func() {},
		"channel in slice": []any{1, make(chan int)},
		"function in map":  map[string]any{"f": func() {}},
		"cycle":            l,
		"raw not JSON":     stdjson.RawMessage(`{`),
		"raw empty":        stdjson.RawMessage{},
		"raw two values":   jsontext.Value(`1 2`),
		"nested raw":       map[string]any{"a": stdjson.RawMessage(`]`)},
		"eleven":           [][]byte{{1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}, {9}, {10}, {11}},
	} {
		if p, err := encodeEvent("/", noID, "e", []any{v}, 10); err == nil {
			t.Errorf("%s: encoded as %s", name, p.buf)
		} else if name == "eleven" && !errors.Is(err, ErrTooManyAttachments) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A client's own data must not pass for a placeholder: one that names no attachment makes the stock
// client that receives it drop its connection.
func TestEncodeForgedPlaceholder(t *testing.T) {
	forged := Arg{raw: []byte(`{"a":{"\u005fplaceholder":true,"num":7}}`)}
	if _, err := encodeEvent("/", noID, "e", []any{forged}, 10); err != nil {
		t.Errorf("harmless in a packet without attachments: %v", err)
	}
	if _, err := encodeEvent("/", noID, "e", []any{forged, []byte{1}}, 10); !errors.Is(err, errPlaceholderInData) {
		t.Errorf("beside an attachment: %v", err)
	}
}

func TestArgPassesThrough(t *testing.T) {
	bin := &attachments{list: [][]byte{{0}, {1}, {2}}}
	a := Arg{raw: []byte(`{"x":{"_placeholder":true,"num":2},"y":[{"num":2,"_placeholder":true}], "z":1}`), bin: bin}
	text, got := encoded(t, []byte{9}, a)
	want := `52-["e",{"_placeholder":true,"num":0},{"x":{"_placeholder":true,"num":1},"y":[{"_placeholder":true,"num":1}], "z":1}]`
	if text != want || len(got) != 2 || got[1][0] != 2 {
		t.Errorf("got %s %v", text, got)
	}
	text, got = encoded(t, map[string]any{"a": a})
	if !strings.HasPrefix(text, `51-["e",{"a":{"x":{"_placeholder":true,"num":0}`) || len(got) != 1 {
		t.Errorf("nested: %s", text)
	}
}

func TestBind(t *testing.T) {
	bin := &attachments{list: [][]byte{{7}, {8}}}
	with := func(s string) Arg { return Arg{raw: []byte(s), bin: bin} }
	plain := func(s string) Arg { return Arg{raw: []byte(s)} }

	var s string
	if err := plain(`"a\u00fcb"`).Bind(&s); err != nil || s != "aüb" {
		t.Errorf("string: %q %v", s, err)
	}
	var n int
	if err := plain(`42`).Bind(&n); err != nil || n != 42 {
		t.Errorf("int: %d %v", n, err)
	}
	var b []byte
	if err := with(`{"_placeholder":true,"num":1}`).Bind(&b); err != nil || b[0] != 8 {
		t.Errorf("binary: %v %v", b, err)
	}
	var v struct {
		File []byte
		Any  any
		List []any
		Arg  Arg
		Name string
	}
	err := with(`{"file":{"_placeholder":true,"num":0},"any":{"x":[{"_placeholder":true,"num":1},1.5,"y",null,true]},"list":[{"_placeholder":true,"num":0}],"arg":{"_placeholder":true,"num":1},"name":"n"}`).Bind(&v)
	if err != nil {
		t.Fatal(err)
	}
	list := v.Any.(map[string]any)["x"].([]any)
	if v.File[0] != 7 || list[0].([]byte)[0] != 8 || list[1] != 1.5 || list[2] != "y" || list[3] != nil || list[4] != true || v.List[0].([]byte)[0] != 7 || v.Name != "n" {
		t.Errorf("struct: %+v", v)
	}
	if got, ok := v.Arg.Bytes(); !ok || got[0] != 8 {
		t.Errorf("nested Arg: %v", got)
	}
	var a any
	if err := with(`{"a":{"_placeholder":true,"num":1}}`).Bind(&a); err != nil || a.(map[string]any)["a"].([]byte)[0] != 8 {
		t.Errorf("any: %v %v", a, err)
	}
	var e *Error
	if err := plain(`"x"`).Bind(&n); !errors.As(err, &e) || e.Code != "bad_request" {
		t.Errorf("wrong type: %v", err)
	}
	if err := (Args{plain(`1`)}).Bind(&n, &s); !errors.As(err, &e) || e.Code != "bad_request" {
		t.Errorf("too few: %v", err)
	}
	if err := with(`{"a":1}`).Bind(&b); err == nil {
		t.Error("an object is not binary")
	}
	if err := plain(`1e999`).Bind(&a); err == nil {
		t.Error("1e999 is no float64")
	}
	if _, ok := plain(`{"_placeholder":true,"num":0}`).Bytes(); ok {
		t.Error("a look-alike in a packet without attachments is an object")
	}
}

// TestBytesAreCopied has the caller use his bytes again once they are emitted, small and large ones.
func TestBytesAreCopied(t *testing.T) {
	for _, size := range []int{1, engineio.SharedAttachment - 1, engineio.SharedAttachment, 100_000} {
		data := bytes.Repeat([]byte{7}, size)
		want := bytes.Clone(data)
		_, plain := encoded(t, data)
		_, nested := encoded(t, map[string]any{"deep": []any{data}})
		arg, err := NewArg(data)
		if err != nil {
			t.Fatal(err)
		}
		_, passed := encoded(t, arg)
		toServers, err := serverSideMessage("e", []any{data})
		if err != nil {
			t.Fatal(err)
		}
		clear(data)
		for name, got := range map[string][][]byte{"plain": plain, "nested": nested, "an Arg": passed, "to servers": toServers.Attachments} {
			if len(got) != 1 || !bytes.Equal(got[0], want) {
				t.Errorf("%d bytes, %s: changed", size, name)
			}
		}
	}
}

func TestNewArgKeepsBinary(t *testing.T) {
	data := []byte{1, 2}
	a, err := NewArg(map[string]any{"f": data})
	if err != nil {
		t.Fatal(err)
	}
	data[0] = 9
	var v struct{ F []byte }
	if err := a.Bind(&v); err != nil || v.F[0] != 1 {
		t.Errorf("%v %v", v, err)
	}
	if out, err := stdjson.Marshal(struct{ A Arg }{a}); err != nil || string(out) != `{"A":{"f":{"_placeholder":true,"num":0}}}` {
		t.Errorf("%s %v", out, err)
	}
}

func FuzzEncodeRoundTrip(f *testing.F) {
	f.Add("name", "text", 1.5, []byte{1}, int64(3))
	f.Fuzz(func(t *testing.T, name, text string, number float64, bin []byte, id int64) {
		if isReservedEvent(name) || id < 0 || id > maxAckID {
			return
		}
		p, err := encodeEvent("/n", id, name, []any{text, number, map[string]any{"b": bin, "t": text}}, 10)
		if err != nil {
			if math.IsNaN(number) || math.IsInf(number, 0) {
				return
			}
			t.Fatal(err)
		}
		frame := p.frame()
		h, err := parseHeader(frame.Text(), 10)
		if err != nil {
			t.Fatal(err)
		}
		e, _, err := newEvent(h.payload)
		if err != nil {
			t.Fatalf("%q: %v", frame.Text(), err)
		}
		if h.id != uint64(id) || h.attachments != len(frame.Attachments()) {
			t.Fatalf("id %d, %d attachments", h.id, h.attachments)
		}
		if err := bindPlaceholders(e.Args, h.attachments, &attachments{list: frame.Attachments()}); err != nil {
			t.Fatal(err)
		}
		var gotText string
		var gotNumber float64
		var gotMap struct {
			B []byte
			T string
		}
		if err := e.Args.Bind(&gotText, &gotNumber, &gotMap); err != nil {
			t.Fatal(err)
		}
		want := strings.ToValidUTF8(text, "")
		if strings.ToValidUTF8(text, "?") == text && (gotText != want || gotMap.T != want) {
			t.Fatalf("%q became %q and %q", text, gotText, gotMap.T)
		}
		if gotNumber != number || !bytes.Equal(gotMap.B, bin) {
			t.Fatalf("%v %v became %v %v", number, bin, gotNumber, gotMap.B)
		}
	})
}

func BenchmarkEncodeEvent(b *testing.B) {
	type msg struct {
		Room string `json:"room"`
		Text string `json:"text"`
		At   int64  `json:"at"`
	}
	for name, args := range map[string][]any{
		"scalars": {"hello", 12, true},
		"raw":     {Args{{raw: []byte(`{"room":"lobby","text":"Hello, how are you today?","at":1700000000000}`)}}},
		"struct":  {msg{"lobby", "Hello, how are you today?", 1700000000000}},
		"map":     {map[string]any{"room": "lobby", "text": "Hello, how are you today?", "at": 1700000000000}},
		"binary":  {map[string]any{"data": make([]byte, 100)}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p, err := encodeEvent("/chat", noID, "chat message", args, 10)
				if err != nil {
					b.Fatal(err)
				}
				p.frame()
			}
		})
	}
}
