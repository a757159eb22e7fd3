package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// EnvPrefix begins the name of every environment variable that sets a key.
const EnvPrefix = "HOLDFAST_"

// A key is one place in the tree of settings: a section, or a leaf with a value.
type key struct {
	path     []string
	doc      string
	oneof    []string
	reload   bool
	value    reflect.Value // addressable; of a section, the struct
	children []*key        // of a section, in the order of the file
}

func (k *key) name() string    { return k.path[len(k.path)-1] }
func (k *key) dotted() string  { return strings.Join(k.path, ".") }
func (k *key) section() bool   { return k.children != nil }
func (k *key) envName() string { return EnvPrefix + strings.ToUpper(strings.Join(k.path, "__")) }

// schema lists the keys of c, whose fields the returned values set.
func schema(c *Config) []*key {
	return structKeys(reflect.ValueOf(c).Elem(), nil)
}

func structKeys(v reflect.Value, path []string) []*key {
	keys := make([]*key, 0, v.NumField())
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		k := &key{
			path:   append(append([]string{}, path...), tag.Get("yaml")),
			doc:    tag.Get("doc"),
			reload: tag.Get("reload") == "yes",
			value:  v.Field(i),
		}
		if values := tag.Get("oneof"); values != "" {
			k.oneof = strings.Split(values, ",")
		}
		if k.value.Kind() == reflect.Struct {
			k.children = structKeys(k.value, k.path)
		}
		keys = append(keys, k)
	}
	return keys
}

// leaves flattens the tree, in the order of the file.
func leaves(keys []*key) []*key {
	var flat []*key
	for _, k := range keys {
		if k.section() {
			flat = append(flat, leaves(k.children)...)
		} else {
			flat = append(flat, k)
		}
	}
	return flat
}

func (k *key) list() bool { return k.value.Kind() == reflect.Slice }

// set parses text into the key's value. A list takes its items separated by commas.
func (k *key) set(text string) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("%q is not UTF-8", text)
	}
	if k.list() {
		items := []string{}
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		return k.setList(items)
	}
	switch k.value.Interface().(type) {
	case time.Duration:
		d, err := parseDuration(text)
		return assign(k.value, d, text, err)
	case Size:
		s, err := parseSize(text)
		return assign(k.value, s, text, err)
	case bool:
		b, err := parseBool(text)
		return assign(k.value, b, text, err)
	case int:
		n, err := strconv.Atoi(text)
		if err != nil {
			err = errors.New("is not a whole number")
		}
		return assign(k.value, n, text, err)
	case string:
		if err := k.among(text); err != nil {
			return err
		}
		k.value.SetString(text)
		return nil
	}
	panic(fmt.Sprintf("config: key %s has the unsupported type %s", k.dotted(), k.value.Type()))
}

func (k *key) setList(items []string) error {
	for _, item := range items {
		if err := k.among(item); err != nil {
			return err
		}
	}
	k.value.Set(reflect.ValueOf(items))
	return nil
}

func assign(v reflect.Value, parsed any, text string, err error) error {
	if err != nil {
		return fmt.Errorf("%q %w", text, err)
	}
	v.Set(reflect.ValueOf(parsed))
	return nil
}

func (k *key) among(text string) error {
	if k.oneof == nil {
		return nil
	}
	for _, allowed := range k.oneof {
		if text == allowed {
			return nil
		}
	}
	return fmt.Errorf("%q is not one of %s%s", text, strings.Join(k.oneof, ", "), didYouMean(text, k.oneof))
}

// text prints the key's value as set would read it back.
func (k *key) text() string {
	switch v := k.value.Interface().(type) {
	case time.Duration:
		return formatDuration(v)
	case []string:
		return strings.Join(v, ",")
	default:
		return fmt.Sprint(v)
	}
}
