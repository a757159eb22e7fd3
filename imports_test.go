package main

import (
	"os/exec"
	"path"
	"strings"
	"testing"
)

// ours says which packages of this module a package may import. A pattern that ends in /... stands for a
// folder and everything below it. The first rule whose pattern fits a package holds.
var ours = []struct {
	pattern string
	within  bool // whether packages that fit the pattern may import one another
	may     []string
}{
	{".", false, []string{"internal/app"}},
	{"engineio/...", true, nil},
	{"eventlog", false, nil},
	{"eventlog/...", false, []string{"eventlog"}},
	{"cluster", false, nil},
	{"cluster/...", false, []string{"cluster"}},
	{"queue/...", true, []string{"eventlog"}},
	{"socketio/...", true, []string{"engineio", "eventlog", "cluster"}},
	{"handlers/...", true, []string{"socketio", "engineio", "queue", "eventlog"}},
	{"namespaces/...", true, []string{"handlers", "socketio", "engineio", "queue", "eventlog"}},
	{"static", false, nil},
	{"internal/config", false, nil},
	{"internal/auth/...", true, []string{"socketio"}},
	{"internal/metrics", false, []string{"socketio", "engineio", "queue", "eventlog"}},
	{"internal/httpapi", false, []string{"socketio", "internal/auth", "static"}},
	{"internal/app", false, []string{"..."}},
	{"bench/...", false, []string{"..."}},
	{"test/...", false, []string{"..."}},
}

// others says which packages alone may import a module of somebody else's, tests aside.
var others = map[string][]string{
	"github.com/gin-gonic/gin":     {"internal/app", "internal/httpapi"},
	"github.com/prometheus/":       {"internal/metrics"},
	"github.com/cockroachdb/":      {"eventlog/pebblelog/..."},
	"github.com/redis/":            {"cluster/redisbus/...", "test/..."},
	"github.com/alecthomas/kong":   {"internal/app"},
	"go.yaml.in/yaml":              {"internal/config"},
	"github.com/fsnotify/fsnotify": {"internal/app", "internal/config"},
}

func TestImportRules(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		from := inModule(fields[0])
		for _, imported := range fields[1:] {
			if problem := judge(from, imported); problem != "" {
				t.Errorf("%s imports %s: %s", from, imported, problem)
			}
		}
	}
}

// inModule is the path of a package of ours inside the module, "." at its top.
func inModule(importPath string) string {
	return path.Clean(strings.TrimPrefix(strings.TrimPrefix(importPath, "holdfast"), "/"))
}

func judge(from, imported string) string {
	if imported != "holdfast" && !strings.HasPrefix(imported, "holdfast/") {
		for module, by := range others {
			if strings.HasPrefix(imported, module) && !fitsAny(by, from) {
				return "only " + strings.Join(by, ", ") + " may"
			}
		}
		return ""
	}
	to := inModule(imported)
	for _, rule := range ours {
		if !fits(rule.pattern, from) {
			continue
		}
		if fitsAny(rule.may, to) || (rule.within && fits(rule.pattern, to)) {
			return ""
		}
		return "section 3 of the design does not allow it"
	}
	return "the package has no rule yet"
}

func fitsAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if fits(p, name) {
			return true
		}
	}
	return false
}

func fits(pattern, name string) bool {
	if pattern == "..." {
		return true
	}
	if top, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == top || strings.HasPrefix(name, top+"/")
	}
	return name == pattern
}

func TestImportRulesCatchWhatTheyForbid(t *testing.T) {
	for _, tt := range []struct {
		from, imported string
		allowed        bool
	}{
		{".", "holdfast/internal/app", true},
		{".", "holdfast/socketio", false},
		{"engineio", "holdfast/engineio/internal/wire", true},
		{"engineio", "holdfast/socketio", false},
		{"engineio", "github.com/gin-gonic/gin", false},
		{"socketio", "holdfast/engineio", true},
		{"socketio", "holdfast/eventlog", true},
		{"socketio", "holdfast/eventlog/pebblelog", false},
		{"socketio/internal/parser", "holdfast/engineio", true},
		{"socketio/internal/parser", "holdfast/socketio/internal/scan", true},
		{"socketio", "holdfast/queue", false},
		{"handlers", "holdfast/queue", true},
		{"handlers", "holdfast/namespaces", false},
		{"handlers", "holdfast/internal/config", false},
		{"eventlog/pebblelog", "holdfast/eventlog", true},
		{"eventlog/pebblelog", "github.com/cockroachdb/pebble/v2", true},
		{"eventlog/pebblelog", "holdfast/eventlog/logtest", false},
		{"queue", "github.com/cockroachdb/pebble/v2", false},
		{"cluster/redisbus", "holdfast/cluster", true},
		{"cluster", "holdfast/cluster/redisbus", false},
		{"internal/httpapi", "github.com/gin-gonic/gin", true},
		{"internal/httpapi", "holdfast/static", true},
		{"internal/httpapi", "holdfast/internal/config", false},
		{"internal/app", "holdfast/eventlog/pebblelog", true},
		{"newpackage", "holdfast/socketio", false},
		{"engineio", "net/http", true},
	} {
		if problem := judge(tt.from, tt.imported); (problem == "") != tt.allowed {
			t.Errorf("%s imports %s: allowed %t, want %t (%s)", tt.from, tt.imported, problem == "", tt.allowed, problem)
		}
	}
}
