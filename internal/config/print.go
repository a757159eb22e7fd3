package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const header = `# The configuration of Holdfast, with every key at its default: what stands here may be left out.
# Each key can be set from the environment as well, which has the last word: HOLDFAST_ and the
# upper-case path, joined by two underscores, such as HOLDFAST_LIMITS__SEND_BUFFER=8MiB.
`

// commentWidth keeps generated comments within the width of the hand-written files.
const commentWidth = 100

// YAML prints the configuration as an annotated file that Load reads back to the same value.
func (c *Config) YAML() []byte {
	b := new(strings.Builder)
	b.WriteString(header)
	printKeys(b, schema(c), "")
	return []byte(b.String())
}

func printKeys(b *strings.Builder, keys []*key, indent string) {
	for i, k := range keys {
		if indent == "" || (i > 0 && k.section()) {
			b.WriteByte('\n')
		}
		for _, line := range wrap(k.doc, commentWidth-len(indent)-2) {
			fmt.Fprintf(b, "%s# %s\n", indent, line)
		}
		if k.section() {
			fmt.Fprintf(b, "%s%s:\n", indent, k.name())
			printKeys(b, k.children, indent+"  ")
			continue
		}
		fmt.Fprintf(b, "%s%s: %s\n", indent, k.name(), yamlValue(k))
	}
}

func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

func yamlValue(k *key) string {
	switch v := k.value.Interface().(type) {
	case string:
		return yamlString(v)
	case []string:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = yamlString(item)
		}
		return "[" + strings.Join(items, ", ") + "]"
	default:
		return k.text()
	}
}

// plain strings mean the same with and without quotes.
var plain = regexp.MustCompile(`^[A-Za-z./][A-Za-z0-9._/-]*$`)

func yamlString(s string) string {
	if _, err := parseBool(s); err != nil && plain.MatchString(s) && !strings.EqualFold(s, "null") {
		return s
	}
	return strconv.Quote(s)
}

// A Setting describes one key for the documentation.
type Setting struct {
	Key     string // dotted
	Env     string // its environment variable
	Default string // as written in the file
	Doc     string
	Reload  bool // whether SIGHUP changes it in a running server
}

// Settings lists every key with its default, in the order of the file.
func Settings() []Setting {
	flat := leaves(schema(Default()))
	settings := make([]Setting, len(flat))
	for i, k := range flat {
		settings[i] = Setting{Key: k.dotted(), Env: k.envName(), Default: yamlValue(k), Doc: k.doc, Reload: k.reload}
	}
	return settings
}

// Changes lists the dotted keys that differ between a running configuration and a new one: those
// that a running server can take over, and those that only a restart brings.
func Changes(running, next *Config) (reload, restart []string) {
	before, after := leaves(schema(running)), leaves(schema(next))
	for i, k := range before {
		switch {
		case equal(k.value, after[i].value):
		case k.reload:
			reload = append(reload, k.dotted())
		default:
			restart = append(restart, k.dotted())
		}
	}
	return reload, restart
}

func equal(a, b reflect.Value) bool {
	if list, ok := a.Interface().([]string); ok {
		return slices.Equal(list, b.Interface().([]string))
	}
	return a.Interface() == b.Interface()
}
