package config

import (
	"maps"
	"slices"
	"strings"
)

// readEnvironment takes every variable with our prefix, in the order of their names.
func (l *loader) readEnvironment(environ []string) {
	set := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, EnvPrefix) && !reserved(name, value) {
			set[name] = value
		}
	}
	known := map[string]*key{}
	for _, k := range leaves(l.keys) {
		known[k.envName()] = k
	}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		k, ok := known[name]
		if !ok {
			l.fail(name, "", "unknown key in the environment%s", didYouMean(name, slices.Sorted(maps.Keys(known))))
			continue
		}
		l.places[k.dotted()] = name
		if err := k.set(set[name]); err != nil {
			l.fail(name, k.dotted(), "%v", err)
		}
	}
}

// reserved tells the variables that carry our prefix and are not ours to judge: those of the command
// line and the project's own tests, and those that Kubernetes puts into every container of a
// namespace that has a service called holdfast.
func reserved(name, value string) bool {
	switch rest := strings.TrimPrefix(name, EnvPrefix); {
	case rest == "CONFIG", rest == "BIN", rest == "TESTSERVER":
		return true
	case rest == "SERVICE_HOST", rest == "SERVICE_PORT", strings.HasPrefix(rest, "SERVICE_PORT_"):
		return true
	case rest == "PORT", strings.HasPrefix(rest, "PORT_"):
		return strings.Contains(value, "://") || strings.HasPrefix(rest, "PORT_")
	}
	return false
}
