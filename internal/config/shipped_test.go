package config

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

var update = flag.Bool("update", false, "write config.yaml and the table in docs/configuration.md anew")

const (
	shippedFile = "../../config.yaml"
	docsFile    = "../../docs/configuration.md"
	tableBegin  = "<!-- settings: generated, see internal/config/shipped_test.go -->\n"
	tableEnd    = "<!-- end of settings -->\n"
)

// hold compares a file of the project with what the code says it must be.
func hold(t *testing.T, file, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s differs from the code; after a change of a key run: go test ./internal/config -update", file)
	}
}

func TestShippedFileIsTheDefaults(t *testing.T) {
	hold(t, shippedFile, string(Default().YAML()))
	c, err := Load(shippedFile, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, Default()) {
		t.Errorf("got  %+v\nwant %+v", c, Default())
	}
}

func TestShippedFileHasEveryKeyWithAComment(t *testing.T) {
	data, err := os.ReadFile(shippedFile)
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	var walk func(n *yaml.Node, prefix string)
	walk = func(n *yaml.Node, prefix string) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, value := n.Content[i], n.Content[i+1]
			if name.HeadComment == "" {
				t.Errorf("line %d: %s%s has no comment", name.Line, prefix, name.Value)
			}
			if value.Kind == yaml.MappingNode {
				walk(value, prefix+name.Value+".")
				continue
			}
			found[prefix+name.Value] = true
		}
	}
	walk(document.Content[0], "")
	for _, s := range Settings() {
		if !found[s.Key] {
			t.Errorf("%s is missing", s.Key)
		}
	}
}

func TestDocsListEverySetting(t *testing.T) {
	data, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has lost the marks around its table", docsFile)
	}
	table := new(strings.Builder)
	table.WriteString("| key | default | meaning |\n|---|---|---|\n")
	for _, s := range Settings() {
		doc := strings.ReplaceAll(s.Doc, "|", `\|`)
		if s.Reload {
			doc += " *Taken over on SIGHUP.*"
		}
		fmt.Fprintf(table, "| `%s` | `%s` | %s |\n", s.Key, s.Default, doc)
	}
	hold(t, docsFile, before+tableBegin+table.String()+tableEnd+after)
}

func TestEverySettingIsDocumented(t *testing.T) {
	for _, s := range Settings() {
		if !strings.HasSuffix(s.Doc, ".") {
			t.Errorf("%s: its comment must be a sentence, got %q", s.Key, s.Doc)
		}
	}
}
