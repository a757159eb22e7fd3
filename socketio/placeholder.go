package socketio

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Binary values travel beside the JSON text; in it an object {"_placeholder":true,"num":n} stands for the
// n-th attachment of the packet (Socket.IO protocol v5, "Packet encoding"). As in Node's parser, any
// object whose member _placeholder is true is one, whatever else it holds.

// attachments are the binary messages of one packet, shared by the arguments that refer to them.
type attachments struct {
	list [][]byte
}

// placeholder is where one stands in a JSON text, and what it stands for.
type placeholder struct {
	start, end int
	num        int
}

// openValue is an array or object that the search has entered.
type openValue struct {
	start  int
	found  int // placeholders found before it
	num    int // of its member num, or -1
	marked bool
}

// findPlaceholders returns the placeholders of a valid JSON text in the order they stand. One that does
// not name one of n attachments is errPlaceholder.
func findPlaceholders(b []byte, n int) ([]placeholder, error) {
	var found []placeholder
	var open []openValue
	for i := 0; i < len(b); {
		switch b[i] {
		case '{', '[':
			open = append(open, openValue{start: i, found: len(found), num: -1})
			i++
		case '}', ']':
			top := open[len(open)-1]
			open = open[:len(open)-1]
			i++
			if top.marked {
				if top.num < 0 || top.num >= n {
					return nil, errPlaceholder
				}
				// What it contains is not looked at by anyone: the attachment takes its place.
				found = append(found[:top.found], placeholder{start: top.start, end: i, num: top.num})
			}
		case '"':
			end := scanString(b, i)
			name := b[i+1 : end-1]
			i = skipSpace(b, end)
			if i == len(b) || b[i] != ':' {
				break
			}
			i = skipSpace(b, i+1)
			// A member that is given twice counts as it was given last.
			switch top := &open[len(open)-1]; {
			case isName(name, "_placeholder"):
				top.marked = b[i] == 't'
			case isName(name, "num"):
				top.num = smallNumber(b[i:])
			}
		default:
			i++
		}
	}
	return found, nil
}

// isName compares the inside of a JSON string with a plain name.
func isName(raw []byte, name string) bool {
	if len(raw) < len(name) {
		return false
	}
	if len(raw) == len(name) {
		return string(raw) == name
	}
	if len(raw) > 6*len(name) {
		return false
	}
	quoted := make([]byte, 0, 6*16+2)
	quoted = append(append(append(quoted, '"'), raw...), '"')
	plain, err := jsontext.AppendUnquote(nil, quoted)
	return err == nil && string(plain) == name
}

// smallNumber reads a plain number of few digits off the front of b, or returns -1.
func smallNumber(b []byte) int {
	n, i := 0, 0
	for ; i < len(b) && isDigit(b[i]); i++ {
		if i == 6 {
			return -1
		}
		n = n*10 + int(b[i]-'0')
	}
	if i == 0 || i < len(b) && (b[i] == '.' || b[i]|0x20 == 'e') {
		return -1
	}
	return n
}

func appendPlaceholder(b []byte, num int) []byte {
	b = append(b, `{"_placeholder":true,"num":`...)
	b = strconv.AppendInt(b, int64(num), 10)
	return append(b, '}')
}

// bindPlaceholders checks the placeholders of arguments that came with n attachments, and hands the
// attachments to the arguments that refer to them.
func bindPlaceholders(args []Arg, n int, bin *attachments) error {
	for i := range args {
		found, err := findPlaceholders(args[i].raw, n)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			args[i].bin = bin
		}
	}
	return nil
}
