package socketio

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// decodeAny builds the Go value of a valid JSON text as encoding/json does for an any, with the binary
// values in place of their placeholders. The depth of what a client sent is bounded by the scanner.
func decodeAny(raw []byte, bin *attachments) (any, error) {
	d := anyDecoder{b: raw}
	if bin != nil {
		found, err := findPlaceholders(raw, len(bin.list))
		if err != nil {
			return nil, err
		}
		d.found, d.bin = found, bin
	}
	// What did not come through the scanner may be anything.
	if err := scanAll(raw); err != nil {
		return nil, err
	}
	v := d.value(skipSpace(raw, 0))
	return v, d.err
}

type anyDecoder struct {
	b     []byte
	i     int // behind the value decoded last
	found []placeholder
	bin   *attachments
	err   error
}

// value decodes the value that begins at i.
func (d *anyDecoder) value(i int) any {
	switch d.b[i] {
	case '{':
		return d.object(i)
	case '[':
		return d.array(i)
	case '"':
		return d.text(i)
	case 't':
		d.i = i + 4
		return true
	case 'f':
		d.i = i + 5
		return false
	case 'n':
		d.i = i + 4
		return nil
	}
	d.i = scanNumber(d.b, i)
	f, err := strconv.ParseFloat(string(d.b[i:d.i]), 64)
	if err != nil && d.err == nil {
		d.err = err
	}
	return f
}

func (d *anyDecoder) text(i int) string {
	d.i = scanString(d.b, i)
	quoted := d.b[i:d.i]
	if s, ok := plainString(quoted); ok {
		return s
	}
	// Lone surrogates become the replacement character; it is the only error left for a scanned string.
	s, _ := jsontext.AppendUnquote(nil, quoted)
	return string(s)
}

func (d *anyDecoder) array(i int) any {
	out := []any{}
	i = skipSpace(d.b, i+1)
	for d.b[i] != ']' {
		out = append(out, d.value(i))
		i = skipSpace(d.b, d.i)
		if d.b[i] == ',' {
			i = skipSpace(d.b, i+1)
		}
	}
	d.i = i + 1
	return out
}

func (d *anyDecoder) object(i int) any {
	for len(d.found) > 0 && d.found[0].start < i {
		d.found = d.found[1:]
	}
	if len(d.found) > 0 && d.found[0].start == i {
		p := d.found[0]
		d.i = p.end
		return d.bin.list[p.num]
	}
	out := map[string]any{}
	i = skipSpace(d.b, i+1)
	for d.b[i] != '}' {
		name := d.text(i)
		i = skipSpace(d.b, skipSpace(d.b, d.i)+1)
		out[name] = d.value(i)
		i = skipSpace(d.b, d.i)
		if d.b[i] == ',' {
			i = skipSpace(d.b, i+1)
		}
	}
	d.i = i + 1
	return out
}
