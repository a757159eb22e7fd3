package socketio

import (
	"encoding/binary"
	"math/bits"
)

// The JSON scanner. It checks a value against the grammar of RFC 8259 in one pass without building
// anything, and cuts the array that every event and ack carries into its elements. It does not recurse:
// what is open is a bit each, and no more than maxDepth may be.

// maxDepth bounds how deep arrays and objects may nest.
const maxDepth = 512

// maxArguments bounds the elements of the top-level array.
const maxArguments = 1 << 14

// skipSpace returns the index of the first byte from i on that is not white space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// scanArray cuts the array that b holds into its elements, appended to dst as parts of b.
func scanArray(b []byte, dst []Arg) ([]Arg, error) {
	i := skipSpace(b, 0)
	if i == len(b) || b[i] != '[' {
		return dst, errPayload
	}
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		return dst, scanEnd(b, i+1)
	}
	for n := 0; ; n++ {
		if n == maxArguments {
			return dst, errTooManyArguments
		}
		end, err := scanValue(b, i)
		if err != nil {
			return dst, err
		}
		dst = append(dst, Arg{raw: b[i:end:end]})
		i = skipSpace(b, end)
		if i == len(b) {
			return dst, errPayload
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
		case ']':
			return dst, scanEnd(b, i+1)
		default:
			return dst, errPayload
		}
	}
}

// scanObject checks that b holds an object and nothing else.
func scanObject(b []byte) error {
	i := skipSpace(b, 0)
	if i == len(b) || b[i] != '{' {
		return errPayload
	}
	end, err := scanValue(b, i)
	if err != nil {
		return err
	}
	return scanEnd(b, end)
}

// scanAll checks that b holds one value and nothing else.
func scanAll(b []byte) error {
	end, err := scanValue(b, skipSpace(b, 0))
	if err != nil {
		return err
	}
	return scanEnd(b, end)
}

func scanEnd(b []byte, i int) error {
	if skipSpace(b, i) != len(b) {
		return errPayload
	}
	return nil
}

// scanValue checks the value that begins at i and returns the index behind it.
func scanValue(b []byte, i int) (int, error) {
	var objects [maxDepth / bits.UintSize]uint // a bit for each open level: it is an object
	depth := 0
	for {
		if i >= len(b) {
			return i, errPayload
		}
		var end int
		switch c := b[i]; c {
		case '"':
			end = scanString(b, i)
		case '{', '[':
			if depth == maxDepth {
				return i, errNestedTooDeep
			}
			word, bit := depth/bits.UintSize, uint(1)<<(depth%bits.UintSize)
			depth++
			i = skipSpace(b, i+1)
			if i == len(b) {
				return i, errPayload
			}
			if b[i] == c+2 { // '}' and ']' stand two behind their opening
				depth--
				end = i + 1
				break
			}
			if c == '[' {
				objects[word] &^= bit
				continue
			}
			objects[word] |= bit
			if i = scanName(b, i); i < 0 {
				return len(b), errPayload
			}
			continue
		case 't':
			end = scanLiteral(b, i, "true")
		case 'f':
			end = scanLiteral(b, i, "false")
		case 'n':
			end = scanLiteral(b, i, "null")
		default:
			end = scanNumber(b, i)
		}
		if end < 0 {
			return i, errPayload
		}
		// A value is done; close what it closes, and go on where another must follow.
		for i = end; ; {
			if depth == 0 {
				return i, nil
			}
			i = skipSpace(b, i)
			if i == len(b) {
				return i, errPayload
			}
			top := depth - 1
			object := objects[top/bits.UintSize]&(1<<(top%bits.UintSize)) != 0
			c := b[i]
			if c == ',' {
				i = skipSpace(b, i+1)
				if object {
					if i = scanName(b, i); i < 0 {
						return len(b), errPayload
					}
				}
				break
			}
			if object && c != '}' || !object && c != ']' {
				return i, errPayload
			}
			depth--
			i++
		}
	}
}

// scanName checks a member's name and colon and returns where its value begins, or -1.
func scanName(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	if i = scanString(b, i); i < 0 {
		return -1
	}
	i = skipSpace(b, i)
	if i == len(b) || b[i] != ':' {
		return -1
	}
	return skipSpace(b, i+1)
}

// scanString checks the string that begins at i and returns the index behind it, or -1.
func scanString(b []byte, i int) int {
	for i = skipPlain(b, i+1); i < len(b); i = skipPlain(b, i+1) {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c == '\\':
			i++
			if i == len(b) {
				return -1
			}
			switch b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if i+4 >= len(b) || !isHex(b[i+1]) || !isHex(b[i+2]) || !isHex(b[i+3]) || !isHex(b[i+4]) {
					return -1
				}
				i += 4
			default:
				return -1
			}
		}
	}
	return -1
}

// skipPlain returns the index of the first byte from i on at which a string may end, or go wrong, or have an escape, or of
// one before that where fewer than eight are left. It looks at eight bytes at a time.
func skipPlain(b []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(b)-i >= 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, escape := w^('"'*ones), w^('\\'*ones)
		// A borrow reaches only bytes above one that is found, so the lowest is right.
		if found := ((w-' '*ones)&^w | (quote-ones)&^quote | (escape-ones)&^escape) & highs; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
		i += 8
	}
	return i
}

func isHex(c byte) bool {
	return isDigit(c) || c|0x20-'a' <= 5
}

func scanLiteral(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return -1
	}
	return i + len(word)
}

// scanNumber checks the number that begins at i and returns the index behind it, or -1.
func scanNumber(b []byte, i int) int {
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i >= len(b):
		return -1
	case b[i] == '0':
		i++
	default:
		if i = scanDigits(b, i); i < 0 {
			return -1
		}
	}
	if i < len(b) && b[i] == '.' {
		if i = scanDigits(b, i+1); i < 0 {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if i = scanDigits(b, i); i < 0 {
			return -1
		}
	}
	return i
}

// scanDigits returns the index behind at least one digit, or -1.
func scanDigits(b []byte, i int) int {
	start := i
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	if i == start {
		return -1
	}
	return i
}
