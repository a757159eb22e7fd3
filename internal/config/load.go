package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Error is one thing wrong with a configuration.
type Error struct {
	Place   string // "config.yaml:12", the name of an environment variable, or empty for a default
	Key     string // dotted, such as "limits.send_buffer"; empty where the file as a whole is meant
	Message string
}

// Error joins the three parts with colons.
func (e *Error) Error() string {
	parts := make([]string, 0, 3)
	for _, part := range []string{e.Place, e.Key, e.Message} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// Load reads the YAML file (none where the name is empty), then the environment in the form of
// os.Environ, which has the last word, and checks the result. The error joins everything that is
// wrong, each as an *Error, in the order in which it was found.
func Load(file string, environ []string) (*Config, error) {
	var data []byte
	if file != "" {
		var err error
		if data, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
	}
	return Parse(file, data, environ)
}

// Parse is Load for a file that was read already; name stands for it in errors.
func Parse(name string, data []byte, environ []string) (*Config, error) {
	c := Default()
	l := &loader{file: name, places: map[string]string{}, keys: schema(c)}
	l.readFile(data)
	l.readEnvironment(environ)
	if len(l.errs) == 0 {
		l.validate(c)
	}
	if len(l.errs) > 0 {
		return nil, errors.Join(l.errs...)
	}
	return c, nil
}

// loader collects what was set where, and what is wrong with it.
type loader struct {
	file   string
	keys   []*key
	places map[string]string // dotted key -> place
	errs   []error
}

func (l *loader) fail(place, key, format string, args ...any) {
	l.errs = append(l.errs, &Error{Place: place, Key: key, Message: fmt.Sprintf(format, args...)})
}

func (l *loader) line(n *yaml.Node) string { return fmt.Sprintf("%s:%d", l.file, n.Line) }

func (l *loader) readFile(data []byte) {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		l.fail(l.file, "", "%v", err)
		return
	}
	if len(document.Content) == 0 {
		return
	}
	l.readSection(document.Content[0], nil, l.keys)
}

func (l *loader) readSection(n *yaml.Node, path []string, keys []*key) {
	n = resolve(n)
	if empty(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		l.fail(l.line(n), strings.Join(path, "."), "must be a section of keys and values")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		l.readKey(n.Content[i], n.Content[i+1], path, keys)
	}
}

func (l *loader) readKey(name, value *yaml.Node, path []string, keys []*key) {
	at := slices.IndexFunc(keys, func(k *key) bool { return k.name() == name.Value })
	if at < 0 {
		dotted := strings.Join(append(slices.Clone(path), name.Value), ".")
		l.fail(l.line(name), dotted, "unknown key%s", l.suggest(name.Value, keys))
		return
	}
	k := keys[at]
	if earlier, twice := l.places[k.dotted()]; twice {
		l.fail(l.line(name), k.dotted(), "already set at %s", earlier)
		return
	}
	l.places[k.dotted()] = l.line(name)
	if k.section() {
		l.readSection(value, k.path, k.children)
		return
	}
	if err := l.readLeaf(k, resolve(value)); err != nil {
		l.fail(l.line(name), k.dotted(), "%v", err)
	}
}

func (l *loader) readLeaf(k *key, value *yaml.Node) error {
	switch {
	case empty(value):
		return errors.New("has no value")
	case value.Kind == yaml.ScalarNode:
		return k.set(value.Value)
	case value.Kind == yaml.SequenceNode && k.list():
		items := make([]string, 0, len(value.Content))
		for _, item := range value.Content {
			if item = resolve(item); item.Kind != yaml.ScalarNode || empty(item) {
				return errors.New("must be a list of plain values")
			}
			items = append(items, item.Value)
		}
		return k.setList(items)
	case k.list():
		return errors.New("must be a list of plain values")
	default:
		return errors.New("must be a single value")
	}
}

// suggest looks for the nearest key beside the unknown one first, then anywhere in the tree, where
// someone may have put it a level too high or too low.
func (l *loader) suggest(name string, siblings []*key) string {
	names := make([]string, 0, len(siblings))
	for _, k := range siblings {
		names = append(names, k.name())
	}
	if hint := didYouMean(name, names); hint != "" {
		return hint
	}
	for _, k := range leaves(l.keys) {
		if distance(name, k.name()) <= 1 {
			return `, did you mean "` + k.dotted() + `"?`
		}
	}
	return ""
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func empty(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }
