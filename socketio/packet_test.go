package socketio

import (
	"errors"
	"runtime"
	"strings"
	"testing"
)

func TestParseHeader(t *testing.T) {
	for _, c := range []struct {
		in      string
		kind    packetType
		nsp     string
		id      int64
		n       int
		payload string
		err     error
	}{
		{in: `0`, kind: packetConnect, id: -1},
		{in: `0/admin,{"a":1}`, kind: packetConnect, nsp: "/admin", id: -1, payload: `{"a":1}`},
		{in: `0/admin`, kind: packetConnect, nsp: "/admin", id: -1},
		{in: `1/admin,`, kind: packetDisconnect, nsp: "/admin", id: -1},
		{in: `2["a"]`, kind: packetEvent, id: -1, payload: `["a"]`},
		{in: `212["a"]`, kind: packetEvent, id: 12, payload: `["a"]`},
		{in: `2/n,0["a"]`, kind: packetEvent, nsp: "/n", payload: `["a"]`},
		{in: `39007199254740991[]`, kind: packetAck, id: 9007199254740991, payload: `[]`},
		{in: `39007199254740992[]`, err: errAckID},
		{in: `3` + strings.Repeat("9", 1000) + `[]`, err: errAckID},
		{in: `51-/n,7["a"]`, kind: packetEvent, nsp: "/n", id: 7, n: 1, payload: `["a"]`},
		{in: `610-1[]`, kind: packetAck, id: 1, n: 10, payload: `[]`},
		{in: `511-[]`, err: errAttachmentsMany},
		{in: `5999999-[`, err: errAttachmentsMany},
		{in: `5` + strings.Repeat("9", 1000), err: errAttachmentsMany},
		{in: `5-["a"]`, err: errAttachmentCount},
		{in: `50-["a"]`, err: errAttachmentCount},
		{in: `5`, err: errAttachmentCount},
		{in: `51`, err: errAttachmentCount},
		{in: `51["a"]`, err: errAttachmentCount},
		{in: ``, err: errPacketEmpty},
		{in: `7`, err: errPacketType},
		{in: `x`, err: errPacketType},
	} {
		h, err := parseHeader([]byte(c.in), 10)
		if !errors.Is(err, c.err) {
			t.Errorf("%.40q: error %v, want %v", c.in, err, c.err)
			continue
		}
		if c.err != nil {
			continue
		}
		id := int64(-1)
		if h.hasID {
			id = int64(h.id)
		}
		if h.kind != c.kind || string(h.namespace) != c.nsp || id != c.id || h.attachments != c.n || string(h.payload) != c.payload {
			t.Errorf("%.40q: got %c %q %d %d %q", c.in, h.kind, h.namespace, id, h.attachments, h.payload)
		}
	}
}

func TestEventPayload(t *testing.T) {
	for _, c := range []struct {
		in, name string
		args     int
		err      error
	}{
		{in: `["a"]`, name: "a"},
		{in: `["a",1,2,3,4,5]`, name: "a", args: 5},
		{in: `["caf\u00e9 \"x\""]`, name: `café "x"`},
		{in: `[1]`, name: "1"},
		{in: `[-1.50]`, name: "-1.5"},
		{in: `[1e21]`, name: "1e+21"},
		{in: `["message",{"__proto__":{"a":1}}]`, name: "message", args: 1},
		{in: `["__proto__"]`, name: "__proto__"},
		{in: ``, err: errPayload},
		{in: `[]`, err: errPayload},
		{in: `{}`, err: errPayload},
		{in: `"a"`, err: errPayload},
		{in: `[null]`, err: errPayload},
		{in: `[{}]`, err: errPayload},
		{in: `[true]`, err: errPayload},
		{in: `["a"`, err: errPayload},
		{in: `["a",]`, err: errPayload},
		{in: `["connect"]`, err: errReservedName},
		{in: `["connect_error",1]`, err: errReservedName},
		{in: `["disconnect"]`, err: errReservedName},
		{in: `["disconnecting"]`, err: errReservedName},
		{in: `["newListener"]`, err: errReservedName},
		{in: `["removeListener"]`, err: errReservedName},
		{in: `["\u0063onnect"]`, err: errReservedName},
		{in: `["a",` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `]`, err: errNestedTooDeep},
	} {
		e, name, err := newEvent([]byte(c.in))
		if !errors.Is(err, c.err) {
			t.Errorf("%.40q: error %v, want %v", c.in, err, c.err)
			continue
		}
		if err != nil {
			continue
		}
		e.resolve(emptyTable, name)
		if e.Name != c.name || len(e.Args) != c.args {
			t.Errorf("%.40q: got %q with %d arguments", c.in, e.Name, len(e.Args))
		}
	}
}

func TestEventParsingAllocates(t *testing.T) {
	payload := []byte(`["chat message",{"text":"hello"},1]`)
	table := &table{events: map[string]*eventHandler{"chat message": {name: "chat message"}}}
	n := testing.AllocsPerRun(100, func() {
		e, name, err := newEvent(payload)
		if err != nil {
			t.Fatal(err)
		}
		e.resolve(table, name)
	})
	if n > 1 {
		t.Errorf("%v allocations for an event, want 1", n)
	}
}

// What a payload can make the parser allocate is bounded by its own size.
func TestParsingIsBounded(t *testing.T) {
	for name, in := range map[string]string{
		"arguments":    `["a"` + strings.Repeat(",1", 500_000) + `]`,
		"attachments":  `5999999999-["a"]`,
		"nested":       `2["a",` + strings.Repeat(`[`, 500_000),
		"objects":      `2["a",` + strings.Repeat(`{"a":`, 200_000),
		"long number":  `2` + strings.Repeat("1", 1_000_000),
		"long name":    `2["` + strings.Repeat("a", 1_000_000),
		"long nsp":     `0/` + strings.Repeat("a", 1_000_000),
		"placeholders": `51-["a",` + strings.Repeat(`{"_placeholder":true,"num":5},`, 10_000) + `1]`,
	} {
		data := []byte(in)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if h, err := parseHeader(data, 10); err == nil && h.kind == packetEvent {
			if e, _, err := newEvent(h.payload); err == nil && h.attachments > 0 {
				_ = bindPlaceholders(e.Args, h.attachments, &attachments{})
			}
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
			t.Errorf("%s: %d bytes allocated for a packet of %d", name, used, len(in))
		}
	}
}

func FuzzPacket(f *testing.F) {
	for _, s := range []string{
		`2["a",1]`, `51-/n,7["a",{"_placeholder":true,"num":0}]`, `0/admin,{"a":1}`, `3`, `43[]`, `62-1[{"_placeholder":true,"num":1},null]`,
		`2["a",{"\u005fplaceholder":true,"num":0}]`, `52-["a",{"_placeholder":true,"num":0,"x":{"_placeholder":true,"num":1}}]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := parseHeader(data, 10)
		if err != nil || h.kind != packetEvent {
			return
		}
		e, name, err := newEvent(h.payload)
		if err != nil {
			return
		}
		e.resolve(emptyTable, name)
		if isReservedEvent(e.Name) {
			t.Fatalf("reserved name %q came through", e.Name)
		}
		bin := &attachments{}
		for range h.attachments {
			bin.list = append(bin.list, []byte("binary"))
		}
		if h.attachments > 0 && bindPlaceholders(e.Args, h.attachments, bin) != nil {
			return
		}
		for i := range e.Args {
			var v any
			if err := e.Args[i].Bind(&v); err != nil {
				continue
			}
			var p struct {
				A []byte
				B any
				C []any
			}
			_ = e.Args[i].Bind(&p)
		}
		// What came in can go out, and comes in again as the same.
		out, err := encodeEvent("/", noID, "relay", []any{e.Args}, 10)
		if err != nil {
			return
		}
		frame := out.frame()
		h2, err := parseHeader(frame.Text(), 10)
		if err != nil {
			t.Fatalf("%q: %v", frame.Text(), err)
		}
		e2, _, err := newEvent(h2.payload)
		if err != nil {
			t.Fatalf("%q: %v", frame.Text(), err)
		}
		if len(e2.Args) != len(e.Args) || h2.attachments != len(frame.Attachments()) {
			t.Fatalf("%d arguments became %d", len(e.Args), len(e2.Args))
		}
		if h2.attachments > 0 {
			if err := bindPlaceholders(e2.Args, h2.attachments, &attachments{list: frame.Attachments()}); err != nil {
				t.Fatalf("%q: %v", frame.Text(), err)
			}
		}
	})
}

func BenchmarkParseEvent(b *testing.B) {
	data := []byte(`2/chat,12["chat message",{"room":"lobby","text":"Hello, how are you today?","at":1700000000000},true]`)
	table := &table{events: map[string]*eventHandler{"chat message": {name: "chat message"}}}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		h, err := parseHeader(data, 10)
		if err != nil {
			b.Fatal(err)
		}
		e, name, err := newEvent(h.payload)
		if err != nil {
			b.Fatal(err)
		}
		e.resolve(table, name)
	}
}
