package socketio

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// Arg is one argument of an event or acknowledgement as it arrived: JSON text, and the binary values that
// it refers to. It stays undecoded until Bind, and may be given to Emit as it is, binary values too.
// An Arg is immutable and may be kept and shared between goroutines. The zero Arg is no value.
type Arg struct {
	raw []byte
	bin *attachments // nil: it refers to none
}

// Args are the arguments of an event or acknowledgement. Given to Emit or Ack as one argument, they stand
// for all that they hold.
type Args []Arg

// NewArg makes an Arg of a Go value, as Emit would encode it.
func NewArg(v any) (Arg, error) {
	w := valueWriter{collector: collector{limit: unlimited}}
	defer w.release()
	raw, err := w.append(nil, v)
	if err != nil {
		return Arg{}, err
	}
	a := Arg{raw: raw}
	if len(w.bin) > 0 {
		a.bin = &attachments{list: w.own()}
	}
	return a, nil
}

// JSON is the argument's text, with placeholders for binary values. It must not be changed.
func (a Arg) JSON() []byte { return a.raw }

// IsZero says whether there is no value.
func (a Arg) IsZero() bool { return len(a.raw) == 0 }

// Bytes is the binary value, if the argument is one. It must not be changed.
func (a Arg) Bytes() (b []byte, ok bool) {
	if a.bin == nil {
		return nil, false
	}
	return a.bin.at(a.raw)
}

// at is the attachment that a placeholder stands for, if the JSON value raw is one.
func (t *attachments) at(raw []byte) ([]byte, bool) {
	found, err := findPlaceholders(raw, len(t.list))
	if err != nil || len(found) != 1 || found[0].start != skipSpace(raw, 0) || found[0].end < len(raw) {
		return nil, false
	}
	return t.list[found[0].num], true
}

// MarshalJSONTo writes the argument's JSON, for values that hold an Arg and are encoded elsewhere. Emit
// has its own way, which keeps the binary values.
func (a Arg) MarshalJSONTo(w *jsontext.Encoder) error {
	if a.IsZero() {
		return w.WriteToken(jsontext.Null)
	}
	return w.WriteValue(a.raw)
}

// UnmarshalJSONFrom keeps a copy of the next value.
func (a *Arg) UnmarshalJSONFrom(r *jsontext.Decoder) error {
	v, err := r.ReadValue()
	if err != nil {
		return err
	}
	*a = Arg{raw: slices.Clone(v)}
	return nil
}

// MarshalJSON is MarshalJSONTo for encoding/json.
func (a Arg) MarshalJSON() ([]byte, error) {
	if a.IsZero() {
		return []byte("null"), nil
	}
	return a.raw, nil
}

// UnmarshalJSON is UnmarshalJSONFrom for encoding/json.
func (a *Arg) UnmarshalJSON(b []byte) error {
	*a = Arg{raw: slices.Clone(b)}
	return nil
}

// Bind decodes the argument into the value that dst points to, by the rules and tags of encoding/json.
// A binary value binds to a []byte, at any depth, and to an any as a []byte; the bytes are shared, not
// copied, and must not be changed. An error is an *Error with the code "bad_request".
func (a Arg) Bind(dst any) error {
	if err := a.bind(dst); err != nil {
		return badRequest("argument does not fit this event", err)
	}
	return nil
}

// Bind decodes the first arguments, one for each dst. More arguments are ignored; too few are an error.
func (args Args) Bind(dst ...any) error {
	if len(args) < len(dst) {
		return badRequest(fmt.Sprintf("%d of %d arguments are missing", len(dst)-len(args), len(dst)), errNoValue)
	}
	for i, d := range dst {
		if err := args[i].bind(d); err != nil {
			return badRequest(fmt.Sprintf("argument %d does not fit this event", i+1), err)
		}
	}
	return nil
}

// At is the i-th argument, or the zero Arg where there is none.
func (args Args) At(i int) Arg {
	if i < 0 || i >= len(args) {
		return Arg{}
	}
	return args[i]
}

var errNoValue = errors.New("no such argument")

func badRequest(message string, cause error) error {
	return &Error{Code: "bad_request", Message: message, cause: cause}
}

func (a Arg) bind(dst any) error {
	if a.IsZero() {
		return errNoValue
	}
	switch d := dst.(type) {
	case *Arg:
		*d = a
		return nil
	case *string:
		if s, ok := plainString(a.raw); ok {
			*d = s
			return nil
		}
	case *[]byte:
		if b, ok := a.Bytes(); ok {
			*d = b
			return nil
		}
	case *any:
		var err error
		*d, err = decodeAny(a.raw, a.bin)
		return err
	case *stdjson.RawMessage:
		*d = slices.Clone(a.raw)
		return nil
	case *jsontext.Value:
		*d = slices.Clone(a.raw)
		return nil
	}
	if a.bin == nil {
		return json.Unmarshal(a.raw, dst, decodeOptions)
	}
	b := binders.Get().(*binder)
	b.bin = a.bin
	err := json.Unmarshal(a.raw, dst, b.options)
	b.bin = nil
	binders.Put(b)
	return err
}

// plainString is the value of a JSON string without escapes.
func plainString(raw []byte) (string, bool) {
	if len(raw) < 2 || raw[0] != '"' || slices.Contains(raw, '\\') {
		return "", false
	}
	return string(raw[1 : len(raw)-1]), true
}

// decodeOptions are encoding/json's, without the check for duplicates that JavaScript does not make either.
var decodeOptions = json.JoinOptions(jsonv1.DefaultOptionsV1())

// binder decodes arguments that refer to attachments. It is reused, since its functions are cached by the
// JSON package for each Unmarshalers value.
type binder struct {
	bin     *attachments
	options json.Options
}

var binders = sync.Pool{New: func() any {
	b := &binder{}
	b.options = json.JoinOptions(decodeOptions, json.WithUnmarshalers(json.JoinUnmarshalers(
		json.UnmarshalFromFunc(func(r *jsontext.Decoder, dst *[]byte) error {
			if r.PeekKind() != '{' {
				return errors.ErrUnsupported
			}
			raw, err := r.ReadValue()
			if err != nil {
				return err
			}
			value, ok := b.bin.at(raw)
			if !ok {
				return errors.New("an object is not binary")
			}
			*dst = value
			return nil
		}),
		json.UnmarshalFromFunc(func(r *jsontext.Decoder, dst *any) error {
			raw, err := r.ReadValue()
			if err != nil {
				return err
			}
			*dst, err = decodeAny(raw, b.bin)
			return err
		}),
		json.UnmarshalFromFunc(func(r *jsontext.Decoder, dst *Arg) error {
			raw, err := r.ReadValue()
			if err != nil {
				return err
			}
			*dst = Arg{raw: slices.Clone(raw), bin: b.bin}
			return nil
		}),
	)))
	return b
}}

// MarshalBinary is the argument with its binary values, to be kept elsewhere and read by UnmarshalBinary.
func (a Arg) MarshalBinary() ([]byte, error) {
	w := valueWriter{collector: collector{limit: unlimited}}
	defer w.release()
	raw, err := w.appendArg(nil, a)
	if err != nil {
		return nil, err
	}
	return marshalEvent(raw, w.bin), nil
}

// UnmarshalBinary reads what MarshalBinary wrote. The argument keeps parts of b, which must not be changed.
func (a *Arg) UnmarshalBinary(b []byte) error {
	raw, bin, err := unmarshalEvent(b)
	if err != nil {
		return err
	}
	if err := scanAll(raw); err != nil {
		return err
	}
	one := []Arg{{raw: raw}}
	if len(bin) > 0 {
		if err := bindPlaceholders(one, len(bin), &attachments{list: bin}); err != nil {
			return err
		}
	}
	*a = one[0]
	return nil
}

// Attachments are the binary values that the argument refers to, perhaps among others. They must not be changed.
func (a Arg) Attachments() [][]byte {
	if a.bin == nil {
		return nil
	}
	return a.bin.list
}
