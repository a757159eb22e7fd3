package socketio

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"holdfast/engineio"
)

// unlimited is for values that are not sent as they are.
const unlimited = math.MaxInt

// packet is an encoded packet before it becomes a frame: its text still has an end that can be changed.
type packet struct {
	out  *engineio.Frame
	buf  []byte   // of engineio.BeginFrame, with the text
	data int      // where the JSON array begins in buf
	bin  [][]byte // attachments; nobody changes those that the frame will share
}

// frame closes the packet, which must not be used afterwards.
func (p packet) frame() *engineio.Frame { return p.out.End(p.buf, p.bin...) }

// noID is for packets that ask for no acknowledgement.
const noID = -1

// encodeEvent builds an EVENT or, where args hold binary values, a BINARY_EVENT.
func encodeEvent(namespace string, id int64, event string, args []any, maxAttachments int) (packet, error) {
	p := beginPacket(packetEvent, namespace, id, len(event)+sizeOf(args))
	p.buf = append(p.buf, '[')
	p.buf = appendString(p.buf, event)
	return p.finish(packetBinaryEvent, args, maxAttachments, true)
}

// encodeAck builds an ACK or a BINARY_ACK.
func encodeAck(namespace string, id uint64, args []any, maxAttachments int) (packet, error) {
	p := beginPacket(packetAck, namespace, int64(id), sizeOf(args))
	p.buf = append(p.buf, '[')
	return p.finish(packetBinaryAck, args, maxAttachments, false)
}

// encodeRaw builds an event of an array that is encoded already, by another node.
func encodeRaw(namespace string, id int64, data []byte, bin [][]byte) packet {
	p := beginPacket(packetEvent, namespace, id, len(data))
	p.buf = append(p.buf, data...)
	p.bin = bin
	p.markBinary(packetBinaryEvent)
	return p
}

// encodeControl builds CONNECT, DISCONNECT and CONNECT_ERROR packets; payload may be empty.
func encodeControl(kind packetType, namespace string, payload []byte) *engineio.Frame {
	p := beginPacket(kind, namespace, noID, len(payload))
	p.buf = append(p.buf, payload...)
	return p.frame()
}

func beginPacket(kind packetType, namespace string, id int64, size int) packet {
	out, buf := engineio.BeginFrame(size + len(namespace) + 32)
	buf = append(buf, byte(kind))
	if namespace != "/" {
		buf = append(buf, namespace...)
		buf = append(buf, ',')
	}
	if id >= 0 {
		buf = strconv.AppendInt(buf, id, 10)
	}
	return packet{out: out, buf: buf, data: len(buf)}
}

// finish appends the arguments and the closing bracket. more says that something stands before them.
func (p packet) finish(binary packetType, args []any, maxAttachments int, more bool) (packet, error) {
	w := valueWriter{collector: collector{limit: maxAttachments}}
	defer w.release()
	var err error
	if p.buf, _, err = w.appendList(p.buf, args, more); err != nil {
		return packet{}, err
	}
	p.buf = append(p.buf, ']')
	if len(w.bin) > 0 {
		// What looks like a placeholder in the caller's own data would be taken for one, or, where it
		// names no attachment, make the client drop its connection.
		if _, err := findPlaceholders(p.buf[p.data:], len(w.bin)); err != nil {
			return packet{}, errPlaceholderInData
		}
		p.bin = w.bin
		p.markBinary(binary)
	}
	return p, nil
}

// markBinary turns the type digit into the binary one and puts the number of attachments behind it.
func (p *packet) markBinary(kind packetType) {
	if len(p.bin) == 0 {
		return
	}
	at := textStart
	p.buf[at] = byte(kind)
	count := append(strconv.AppendInt(make([]byte, 0, 8), int64(len(p.bin)), 10), '-')
	p.buf = slices.Insert(p.buf, at+1, count...)
	p.data += len(count)
}

// textStart is where the text begins in a buffer of BeginFrame.
var textStart = func() int {
	_, buf := engineio.BeginFrame(0)
	return len(buf)
}()

// sizeOf guesses how long the encoded arguments will be.
func sizeOf(args []any) int {
	n := 0
	for _, a := range args {
		switch a := a.(type) {
		case string:
			n += len(a) + len(a)/8 + 4
		case Arg:
			n += len(a.raw) + 2
		case Args:
			for i := range a {
				n += len(a[i].raw) + 2
			}
		case stdjson.RawMessage:
			n += len(a) + 2
		case jsontext.Value:
			n += len(a) + 2
		case []byte:
			n += 40
		case nil, bool, int, int64, float64:
			n += 16
		default:
			n += 128
		}
	}
	return n
}

// collector takes the binary values of one packet.
type collector struct {
	limit int
	bin   [][]byte
}

// valueWriter encodes the values of one packet.
type valueWriter struct {
	collector
	json *jsonWriter // borrowed when the first value needs it
}

func (w *valueWriter) release() {
	if w.json != nil {
		w.json.collector = collector{}
		jsonWriters.Put(w.json)
		w.json = nil
	}
}

// appendList appends values with commas between them, and one before the first if more is set.
func (w *valueWriter) appendList(b []byte, values []any, more bool) ([]byte, bool, error) {
	var err error
	for _, v := range values {
		if args, ok := v.(Args); ok {
			for _, a := range args {
				if more {
					b = append(b, ',')
				}
				more = true
				if b, err = w.appendArg(b, a); err != nil {
					return b, more, err
				}
			}
			continue
		}
		if more {
			b = append(b, ',')
		}
		more = true
		if b, err = w.append(b, v); err != nil {
			return b, more, err
		}
	}
	return b, more, nil
}

// append encodes one value.
func (w *valueWriter) append(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case string:
		return appendString(b, v), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case int32:
		return strconv.AppendInt(b, int64(v), 10), nil
	case uint64:
		return strconv.AppendUint(b, v, 10), nil
	case uint32:
		return strconv.AppendUint(b, uint64(v), 10), nil
	case float64:
		return appendFloat(b, v)
	case Arg:
		return w.appendArg(b, v)
	case Args:
		b = append(b, '[')
		for i, a := range v {
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = w.appendArg(b, a); err != nil {
				return b, err
			}
		}
		return append(b, ']'), nil
	case []byte:
		if v == nil {
			return append(b, "null"...), nil
		}
		n, err := w.attachCopy(v)
		return appendPlaceholder(b, n), err
	case stdjson.RawMessage:
		return appendRaw(b, v)
	case jsontext.Value:
		return appendRaw(b, v)
	}
	if w.json == nil {
		w.json = jsonWriters.Get().(*jsonWriter)
	}
	// Lent by value: a pointer would put w on the heap for the packets that don't come here too.
	w.json.collector = w.collector
	b, err := w.json.append(b, v)
	w.collector = w.json.collector
	return b, err
}

// attachCopy is attach for a value of the caller's, who may change it afterwards: a frame shares large ones.
func (w *collector) attachCopy(value []byte) (int, error) {
	if len(value) >= engineio.SharedAttachment {
		value = slices.Clone(value)
	}
	return w.attach(value)
}

// attach takes a binary value into the packet and returns its number.
func (w *collector) attach(value []byte) (int, error) {
	if len(w.bin) >= w.limit {
		return 0, fmt.Errorf("%w: no more than %d fit in a packet", ErrTooManyAttachments, w.limit)
	}
	w.bin = append(w.bin, value)
	return len(w.bin) - 1, nil
}

// own returns the attachments, none of which a caller can change any more.
func (w *collector) own() [][]byte {
	for i, b := range w.bin {
		if len(b) < engineio.SharedAttachment {
			w.bin[i] = slices.Clone(b)
		}
	}
	return w.bin
}

// appendArg passes an argument through; its binary values get new numbers.
func (w *collector) appendArg(b []byte, a Arg) ([]byte, error) {
	if a.IsZero() {
		return append(b, "null"...), nil
	}
	if a.bin == nil {
		return append(b, a.raw...), nil
	}
	found, err := findPlaceholders(a.raw, len(a.bin.list))
	if err != nil {
		return b, err
	}
	// An attachment that is referred to many times is sent once.
	numbers := make(map[int]int, len(found))
	from := 0
	for _, p := range found {
		n, known := numbers[p.num]
		if !known {
			if n, err = w.attach(a.bin.list[p.num]); err != nil {
				return b, err
			}
			numbers[p.num] = n
		}
		b = append(b, a.raw[from:p.start]...)
		b = appendPlaceholder(b, n)
		from = p.end
	}
	return append(b, a.raw[from:]...), nil
}

// appendRaw appends JSON that somebody else made.
func appendRaw(b, raw []byte) ([]byte, error) {
	if raw == nil {
		return append(b, "null"...), nil
	}
	if err := scanAll(raw); err != nil {
		return b, fmt.Errorf("raw JSON: %w", err)
	}
	if !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte("\uFFFD"))
	}
	return append(b, raw...), nil
}

// appendString appends a JSON string.
func appendString(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			b, _ = jsontext.AppendQuote(b, s) // its error tells of bytes that it replaced
			return b
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendFloat appends a number as JavaScript writes it, but for the sign of an exponent.
func appendFloat(b []byte, f float64) ([]byte, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return b, fmt.Errorf("JSON has no number %v", f)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, f, format, -1, 64), nil
}

// jsonWriter encodes whatever has no short way. It is reused, since its functions are cached by the JSON
// package for each Marshalers value.
type jsonWriter struct {
	collector
	out     bytes.Buffer
	encoder *jsontext.Encoder
	options json.Options
	scratch []byte
}

var jsonWriters = sync.Pool{New: func() any {
	w := &jsonWriter{}
	w.options = json.JoinOptions(
		jsonv1.DefaultOptionsV1(),
		jsontext.EscapeForHTML(false),
		jsontext.EscapeForJS(false),
		json.WithMarshalers(json.JoinMarshalers(
			json.MarshalToFunc(w.marshalBytes),
			json.MarshalToFunc(w.marshalArg),
			json.MarshalToFunc(marshalNumber),
		)),
	)
	w.encoder = jsontext.NewEncoder(&w.out, w.options)
	return w
}}

// keepBuffer is the largest buffer that goes back to the pool.
const keepBuffer = 64 << 10

func (w *jsonWriter) append(b []byte, v any) ([]byte, error) {
	if w.out.Cap() > keepBuffer {
		w.out = bytes.Buffer{}
	}
	w.out.Reset()
	w.encoder.Reset(&w.out, w.options)
	if err := json.MarshalEncode(w.encoder, v); err != nil {
		return b, fmt.Errorf("encode %T: %w", v, err)
	}
	text := bytes.TrimSuffix(w.out.Bytes(), []byte("\n"))
	if !utf8.Valid(text) {
		text = bytes.ToValidUTF8(text, []byte("\uFFFD"))
	}
	return append(b, text...), nil
}

func (w *jsonWriter) marshalBytes(e *jsontext.Encoder, value []byte) error {
	if value == nil {
		return e.WriteToken(jsontext.Null)
	}
	n, err := w.attachCopy(value)
	if err != nil {
		return err
	}
	w.scratch = appendPlaceholder(w.scratch[:0], n)
	return e.WriteValue(w.scratch)
}

func (w *jsonWriter) marshalArg(e *jsontext.Encoder, a Arg) error {
	text, err := w.appendArg(w.scratch[:0], a)
	if err != nil {
		return err
	}
	w.scratch = text[:0]
	if cap(w.scratch) > keepBuffer {
		w.scratch = nil
	}
	return e.WriteValue(text)
}

// marshalNumber writes the standard library's Number, which the JSON package takes for a string.
func marshalNumber(e *jsontext.Encoder, n stdjson.Number) error {
	if n == "" {
		n = "0"
	}
	return e.WriteValue(jsontext.Value(n))
}
